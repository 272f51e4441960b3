import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { createKubeClient, resources, type KubeClient, type ResourceType } from "#cloud/kube-client";
import { systemClock } from "#shared/clock";
import type { KubeObject } from "#shared/kube";
import { eventually } from "#internal/scripts/service.ts";
import { startTestServer } from "#internal/test/support/cloud/api-server.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startWorkloads } from "#internal/test/cloud/controllers/workload-harness.ts";

const widgets: ResourceType = {
  group: "example.com",
  version: "v1",
  plural: "widgets",
  kind: "Widget",
  namespaced: true,
};
const stack = new AsyncDisposableStack();
let kube: KubeClient;

beforeAll(async () => {
  const dir = stack.use(tempDir());
  const server = stack.use(await startTestServer(dir.path));
  const path = join(dir.path, "kubeconfig");
  server.api.writeKubeconfig(path);
  const deps = { clock: systemClock, log: silentLog() };
  kube = stack.use(await createKubeClient({ from: "kubeconfig", path }, deps));
  stack.use(await startWorkloads(kube, systemClock));
});
afterAll(() => stack.disposeAsync());

const at = (name: string): { name: string; namespace: string } => ({ name, namespace: "default" });

function make(type: ResourceType, name: string, owner?: KubeObject): Promise<KubeObject> {
  const { apiVersion = "", kind = "", metadata } = owner ?? {};
  const reference = { apiVersion, kind, name: metadata?.name ?? "", uid: metadata?.uid ?? "" };
  const ownerReferences = owner ? [{ ...reference, blockOwnerDeletion: true }] : [];
  return kube.create<KubeObject>(type, {
    apiVersion: type.group === "" ? type.version : `${type.group}/${type.version}`,
    kind: type.kind,
    metadata: { ...at(name), ownerReferences },
  });
}

async function gone(type: ResourceType, name: string): Promise<void> {
  for (let tries = 0; tries < 500; tries += 1) {
    if ((await kube.find(type, at(name))) === undefined) return;
    await Bun.sleep(10);
  }
  throw new Error(`${type.kind} ${name} is still there`);
}

test.each(["Foreground", "Orphan", "Background"] as const)(
  "objects of any kind are deleted with propagation %s",
  async (propagation) => {
    for (const type of [resources.configMaps, resources.secrets, resources.leases]) {
      await make(type, `plain-${propagation.toLowerCase()}`);
      await kube.remove(type, at(`plain-${propagation.toLowerCase()}`), { propagation });
      await gone(type, `plain-${propagation.toLowerCase()}`);
    }
  },
);

test("dependents of a ConfigMap are deleted before it (Foreground), after it (Background), or not (Orphan)", async () => {
  const first = await make(resources.configMaps, "first");
  await make(resources.secrets, "of-first", first);
  await kube.remove(resources.configMaps, at("first"), { propagation: "Foreground" });
  await gone(resources.configMaps, "first");
  expect(await kube.find(resources.secrets, at("of-first"))).toBeUndefined();

  const second = await make(resources.configMaps, "second");
  await make(resources.secrets, "of-second", second);
  await kube.remove(resources.configMaps, at("second"), { propagation: "Background" });
  await gone(resources.secrets, "of-second");

  const third = await make(resources.configMaps, "third");
  await make(resources.secrets, "of-third", third);
  await kube.remove(resources.configMaps, at("third"), { propagation: "Orphan" });
  await gone(resources.configMaps, "third");
  const { metadata } = await kube.get<KubeObject>(resources.secrets, at("of-third"));
  expect(metadata.ownerReferences).toBeUndefined();
});

test("other finalizers keep an object, and Events are deleted without the collector", async () => {
  const held = await make(resources.configMaps, "held");
  held.metadata.finalizers = ["example.com/mine"];
  await kube.replace(resources.configMaps, held);
  await kube.remove(resources.configMaps, at("held"), { propagation: "Foreground" });
  await eventually(5_000, async () => {
    const { metadata } = await kube.get<KubeObject>(resources.configMaps, at("held"));
    expect(metadata.finalizers).toEqual(["example.com/mine"]);
  });
  const release = { metadata: { finalizers: null } };
  await kube.patch(resources.configMaps, at("held"), release, { type: "merge" });
  await gone(resources.configMaps, "held");

  const event = { metadata: at("event"), involvedObject: { kind: "Pod", ...at("p") } };
  await kube.create(resources.events, { apiVersion: "v1", kind: "Event", ...event });
  await kube.remove(resources.events, at("event"), { propagation: "Foreground" });
  expect(await kube.find(resources.events, at("event"))).toBeUndefined();
});

test("objects of custom kinds have owners and dependents as soon as their kind is defined", async () => {
  await kube.create<KubeObject>(resources.crds, {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "widgets.example.com" },
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural: "widgets", singular: "widget", kind: "Widget", listKind: "WidgetList" },
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
        },
      ],
    },
  });
  const owner = await make(widgets, "owner");
  await make(resources.configMaps, "of-widget", owner);
  await make(widgets, "small", owner);
  await kube.remove(widgets, at("owner"), { propagation: "Foreground" });
  await gone(widgets, "owner");
  await gone(resources.configMaps, "of-widget");
  await gone(widgets, "small");
});
