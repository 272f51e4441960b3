import { expect, test } from "bun:test";
import { startCrdCleaner } from "#internal/cloud/kube-api/objects/crd-cleaner.ts";
import { crdResource, KindRegistry } from "#internal/cloud/kube-api/objects/kind-registry.ts";
import { crdFinalizer } from "#internal/cloud/kube-api/objects/established-definition.ts";
import { Policies, QuotaLedger, Webhooks } from "#cloud/kube-api/admission";
import { Conversions } from "#cloud/kube-api/custom-resources/conversion";
import { ObjectService } from "#cloud/kube-api/objects";
import { ServiceAddresses } from "#internal/cloud/kube-api/objects/service-addresses.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { RevisionStore } from "#cloud/kube-api/store";
import { UnavailableError } from "#shared/errors";

const name = "rings.example.com";

function dying(): { metadata: { name: string; deletionTimestamp: string; finalizers: string[] } } {
  return { metadata: { name, deletionTimestamp: "2026-01-01T00:00:00Z", finalizers: [crdFinalizer] } };
}

test("a definition being deleted is released after a failed write is retried", async () => {
  await using store = new RevisionStore({ path: ":memory:", historyRevisions: 10, onError: () => undefined });
  const clock = new FakeClock();
  const log = silentLog();
  using registry = new KindRegistry(store);
  using addresses = new ServiceAddresses(store, clock);
  const conversions = new Conversions({ store, clock });
  using webhooks = new Webhooks({ store, versionsOf: () => [], conversions, log });
  using policies = new Policies({
    store,
    versionsOf: () => [],
    conversions,
    log,
    findKind: () => undefined,
    access: () => () => false,
  });
  await using quotas = new QuotaLedger(store, log);
  const objects = new ObjectService({
    store,
    registry,
    addresses,
    quotas,
    webhooks,
    policies,
    conversions,
    clock,
  });
  const spec = { group: "example.com", names: { plural: "rings" } };
  await store.write({ resource: crdResource, key: `/${name}`, object: { ...dying(), spec } });
  const write = store.write.bind(store);
  let failures = 2;
  store.write = (request) =>
    failures-- > 0 ? Promise.reject(new UnavailableError("store-failed", "disk full")) : write(request);

  await using _cleaner = startCrdCleaner({ store, registry, objects, clock, log });
  await clock.advance(5000);
  expect(store.find(crdResource, `/${name}`)).toBeUndefined();
  const retries = log.lines.filter((line) =>
    line.includes("cannot clean up after a custom resource definition"),
  );
  expect(retries).toHaveLength(2);
});
