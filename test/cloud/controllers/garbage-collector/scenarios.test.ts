import { afterAll, beforeAll } from "bun:test";
import { join } from "node:path";
import { createKubeClient, resources, type KubeClient } from "#cloud/kube-client";
import { systemClock } from "#shared/clock";
import { isRecord, recordOf } from "#shared/json";
import type { ConfigMap, OwnerReference } from "#shared/kube";
import { startWorkloads } from "#internal/test/cloud/controllers/workload-harness.ts";
import { startTestServer } from "#internal/test/support/cloud/api-server.ts";
import { runScenarios, type ScenarioBlock } from "#internal/test/support/scenario/scenario.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const stack = new AsyncDisposableStack();
let kube: KubeClient;
let namespaces = 0;

beforeAll(async () => {
  const dir = stack.use(tempDir());
  const server = stack.use(await startTestServer(dir.path));
  const path = join(dir.path, "kubeconfig");
  server.api.writeKubeconfig(path);
  kube = stack.use(
    await createKubeClient({ from: "kubeconfig", path }, { clock: systemClock, log: silentLog() }),
  );
  stack.use(await startWorkloads(kube, systemClock));
});
afterAll(() => stack.disposeAsync());

/**
 * `delete NAME=PROPAGATION …`: creates the objects of the first document, `name: { owners, blocks, finalizers }`, and
 * deletes some; answers with those that are left once the collector has nothing to do, each with its owners.
 */
runScenarios(join(import.meta.dir, "scenarios"), () => ({
  delete: async (block) => {
    const namespace = `case-${(namespaces += 1)}`;
    await kube.create(resources.namespaces, {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: namespace },
    });
    await createAll(namespace, recordOf(block.input[0]));
    for (const [name, propagation] of block.options)
      await kube.remove(
        resources.configMaps,
        { name, namespace },
        { propagation: propagationOf(propagation) },
      );
    await collectCanary(namespace);
    return settled(namespace, block);
  },
}));

async function createAll(namespace: string, objects: Readonly<Record<string, unknown>>): Promise<void> {
  const uids = new Map<string, string>();
  for (const [name, given] of Object.entries(objects)) {
    const { owners = [], blocks = true, finalizers } = recordOf(given);
    const ownerReferences = (owners as string[]).map((owner): OwnerReference => {
      return { ...referenceTo(owner, uids.get(owner)), blockOwnerDeletion: blocks === true };
    });
    const created = await kube.create<ConfigMap>(resources.configMaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name, namespace, ownerReferences, ...(Array.isArray(finalizers) && { finalizers }) },
    });
    uids.set(name, created.metadata.uid ?? "");
  }
}

/** An owner that was never created is absent. */
function referenceTo(name: string, uid = `absent-${name}`): OwnerReference {
  return { apiVersion: "v1", kind: "ConfigMap", name, uid };
}

function propagationOf(text: string): "Foreground" | "Background" | "Orphan" {
  if (text === "Foreground" || text === "Background" || text === "Orphan") return text;
  throw new Error(`unknown propagation ${text}`);
}

/** Garbage that is made after the deletion: once it is gone the collector has seen the deletion. */
async function collectCanary(namespace: string): Promise<void> {
  const metadata = { name: "canary", namespace, ownerReferences: [referenceTo("nobody")] };
  await kube.create(resources.configMaps, { apiVersion: "v1", kind: "ConfigMap", metadata });
  for (let found = true; found;)
    found = (await kube.find(resources.configMaps, { name: "canary", namespace })) !== undefined;
}

/** The objects that are left; waits until they are those expected, for 3 s at most. */
async function settled(namespace: string, { expected }: ScenarioBlock): Promise<unknown> {
  const left = async (): Promise<Record<string, string[]>> => {
    const { items } = await kube.list<ConfigMap>(resources.configMaps, { namespace });
    return Object.fromEntries(
      items.map(({ metadata }) => [metadata.name, metadata.ownerReferences?.map(({ name }) => name) ?? []]),
    );
  };
  let answer = await left();
  const end = performance.now() + 3_000;
  while (!Bun.deepEquals(answer, isRecord(expected) ? expected : {}) && performance.now() < end) {
    await Bun.sleep(10);
    answer = await left();
  }
  return answer;
}
