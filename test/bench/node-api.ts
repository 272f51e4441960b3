import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { openStore } from "#edge/store";
import { eventually, startService } from "#internal/scripts/service.ts";
import { connectTo, watchOf } from "./api.ts";
import { startPair } from "./pair.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

interface NodeApiFigure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

const objects = 1000;
const watchers = 100;
const changes = 50;
const lists = 50;
const maps = "/api/v1/namespaces/default/configmaps";

/** The API on a node without a link: lists of 1,000 objects, and 100 watchers of changes to its pods' status. */
export async function benchNodeApi(): Promise<NodeApiFigure[]> {
  using dir = tempDir("bench");
  await using pair = await startPair(dir.path, 1);
  await pair.edge[Symbol.asyncDispose]();
  fill(join(dir.path, "bench/edgecore.db"));
  const kubeconfig = join(dir.path, "bench/kubeconfig");
  // The next start writes it with its own port.
  rmSync(kubeconfig);
  const words = await pair.cloud.edgeWords("bench", "/var/run/docker.sock");
  await using edge = startService("edgecore", words, join(dir.path, "again.log"));
  await eventually(30_000, async () => readFileSync(kubeconfig));
  const listed = await measureLists(kubeconfig);
  const before = residentMiB(edge.pid);
  const spread = await measureWatchers(kubeconfig, pair.call);
  return [
    ...listed,
    ...spread,
    { name: `edgecore, memory for ${watchers} watchers`, value: residentMiB(edge.pid) - before, unit: "MiB" },
  ];
}

/** As a cloud would have sent them, and one that a pod of this node refers to. */
function fill(path: string): void {
  using store = openStore(path);
  store.transaction(() => {
    for (let index = 0; index < objects; index += 1) {
      const name = `map-${index}`;
      const metadata = {
        name,
        namespace: "default",
        uid: name,
        resourceVersion: "1",
        labels: { index: `${index}` },
      };
      const value = JSON.stringify({ metadata, data: { text: "x".repeat(1000) } });
      store.metas.put({ key: `default/configmap/${name}`, type: "configmap", value });
    }
  });
}

async function measureLists(kubeconfig: string): Promise<NodeApiFigure[]> {
  const call = connectTo(kubeconfig);
  const took: number[] = [];
  for (let turn = 0; turn < lists; turn += 1) {
    const started = performance.now();
    const { items } = JSON.parse(await call("GET", maps)) as { items: readonly unknown[] };
    took.push(performance.now() - started);
    if (items.length < objects) throw new Error(`a list of ${items.length}`);
  }
  took.sort((a, b) => a - b);
  return [
    { name: `API on the node, list of ${objects} p50`, value: took[lists / 2] ?? 0, unit: "ms" },
    { name: `API on the node, list of ${objects} p99`, value: took[lists - 1] ?? 0, unit: "ms" },
  ];
}

/** Changes of a Device of the node in the cloud, until each watcher on the node has all of them. */
async function measureWatchers(
  kubeconfig: string,
  change: (method: string, path: string, body?: unknown) => Promise<string>,
): Promise<NodeApiFigure[]> {
  const path = "/apis/devices.kubeedge.io/v1beta1/namespaces/default/devices";
  const last = `change-${changes}`;
  const begun = Array.from({ length: watchers }, () => Promise.withResolvers<void>());
  const watching = begun.map(async ({ resolve }) => {
    for await (const event of watchOf(kubeconfig, path)) {
      resolve();
      if (JSON.stringify(event.object).includes(`"${last}"`)) return;
    }
  });
  await Promise.all(begun.map(({ promise }) => promise));
  let device = await change("GET", `${path}/d1`);
  const started = performance.now();
  for (let turn = 1; turn <= changes; turn += 1) {
    const { metadata, ...rest } = JSON.parse(device) as { metadata: object };
    const labels = { turn: `change-${turn}` };
    device = await change("PUT", `${path}/d1`, { ...rest, metadata: { ...metadata, labels } });
  }
  await Promise.all(watching);
  const ms = performance.now() - started;
  return [{ name: `API on the node, ${changes} changes to ${watchers} watchers`, value: ms, unit: "ms" }];
}

function residentMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
}
