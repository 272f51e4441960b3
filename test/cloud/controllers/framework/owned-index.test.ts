import { expect, test } from "bun:test";
import { resources } from "#cloud/kube-client";
import { OwnedIndex } from "#internal/cloud/controllers/framework/owned-index.ts";
import type { OwnerReference, Pod } from "#shared/kube";
import { FakeKubeClient } from "#internal/test/support/fake/fake-kube-client.ts";

function pod(name: string, owner?: string): Pod {
  const reference = { apiVersion: "apps/v1", kind: "ReplicaSet", name: "web", controller: true };
  const ownerReferences: OwnerReference[] = owner === undefined ? [] : [{ ...reference, uid: owner }];
  return {
    metadata: { name, namespace: "default", ownerReferences },
    spec: { containers: [{ name: "c" }] },
  };
}

const namesOf = (pods: readonly Pod[]): string => pods.map(({ metadata }) => metadata.name).join();

test("index that several follow has a change before any of them learns of it", async () => {
  await using kube = new FakeKubeClient();
  await kube.create(resources.pods, pod("a", "u1"));
  await using informer = kube.informer<Pod>(resources.pods);
  await informer.synced;
  using index = new OwnedIndex(informer);
  const seen: string[] = [];
  const last = Promise.withResolvers<void>();
  const follow = (who: string) =>
    index.watch({
      changed: ({ metadata }, old, removed) => {
        const how = removed ? "-" : old ? "~" : "+";
        seen.push(
          `${who} ${how}${metadata.name}: ${namesOf(index.ownedBy("u1"))} ${namesOf(index.orphansIn("default"))}`,
        );
        if (who === "second" && removed) last.resolve();
      },
    });
  using _first = follow("first");
  using _second = follow("second");
  const made = await kube.create(resources.pods, pod("b"));
  const owned = pod("b", "u1").metadata.ownerReferences;
  await kube.replace(resources.pods, {
    ...made,
    metadata: { ...made.metadata, ownerReferences: owned ?? [] },
  });
  await kube.remove(resources.pods, { name: "a", namespace: "default" });
  await last.promise;
  expect(seen).toEqual([
    "first +a: a ",
    "second +a: a ",
    "first +b: a b",
    "second +b: a b",
    "first ~b: a,b ",
    "second ~b: a,b ",
    "first -a: b ",
    "second -a: b ",
  ]);
});

test("listener of an index that ends is not notified any more, and the others are", async () => {
  await using kube = new FakeKubeClient();
  await using informer = kube.informer<Pod>(resources.pods);
  await informer.synced;
  using index = new OwnedIndex(informer);
  const seen: string[] = [];
  const last = Promise.withResolvers<void>();
  const ended = index.watch({ changed: () => seen.push("ended") });
  using _lasting = index.watch({ changed: () => last.resolve() });
  ended[Symbol.dispose]();
  await kube.create(resources.pods, pod("a"));
  await last.promise;
  expect(seen).toEqual([]);
});
