import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { startCloud } from "#internal/scripts/cluster.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { connectTo, inFlight, watchOf, type Call } from "#internal/test/bench/api.ts";

interface ApiFigure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

const root = join(import.meta.dir, "../../..");
const nodeCount = 1000;
const scheduledPods = 1000;
const podCount = 10_000;
const watchers = 200;
const pods = "/api/v1/namespaces/default/pods";
const leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
const maps = "/api/v1/namespaces/default/configmaps";

/** cloudcore with 1,000 nodes and 10,000 pods: memory and open files, scheduling, and reads beside 200 watches. */
export async function benchLoadedApi(): Promise<ApiFigure[]> {
  using dir = tempDir("bench");
  await using cloud = await startCloud({ root, folder: dir.path });
  const call = connectTo(cloud.kubeconfig);
  const { pid } = cloud.cloud;
  await Bun.sleep(10_000);
  const idle = [...residentOf(pid, "cloudcore alone"), ...openFilesOf(pid, "cloudcore alone")];
  await inFlight(nodeCount, 32, (at) => makeNode(call, `n${at}`));
  await using _beats = heartbeats(call);
  const scheduled = await measureScheduling(call, cloud.kubeconfig, pid);
  await inFlight(podCount - scheduledPods, 32, (at) => call("POST", pods, pod(`p${at}`, "nobody")));
  const spread = await measureWatches(cloud.kubeconfig, call);
  await Bun.sleep(10_000);
  return [
    ...idle,
    ...scheduled,
    ...spread,
    ...residentOf(pid, "cloudcore with 1,000 nodes and 10,000 pods"),
    { name: "CPU of cloudcore for all that", value: cpuSecondsOf(pid), unit: "s" },
  ];
}

async function measureScheduling(call: Call, kubeconfig: string, pid: number): Promise<ApiFigure[]> {
  const bound = Promise.withResolvers<void>();
  const seen = new Set<string>();
  const follow = async (): Promise<void> => {
    for await (const { object } of watchOf(kubeconfig, pods)) {
      const { metadata, spec } = object as { metadata: { name: string }; spec: { nodeName?: string } };
      if (spec.nodeName !== undefined) seen.add(metadata.name);
      if (seen.size === scheduledPods) return bound.resolve();
    }
    bound.reject(new Error("the watch ended"));
  };
  follow().catch(bound.reject);
  await Bun.sleep(500);
  const started = performance.now();
  const cpu = cpuSecondsOf(pid);
  await inFlight(scheduledPods, 32, (at) => call("POST", pods, pod(`s${at}`, "default-scheduler")));
  await bound.promise;
  const value = (performance.now() - started) / 1000;
  return [
    { name: "1,000 pods made and scheduled among 1,000 nodes", value, unit: "s" },
    { name: "CPU of cloudcore for these pods", value: cpuSecondsOf(pid) - cpu, unit: "s" },
  ];
}

/**
 * Some 60 changes a second to watchers, and reads meanwhile. The watchers are a process of lower priority: their work is that of
 * other machines.
 */
async function measureWatches(kubeconfig: string, call: Call): Promise<ApiFigure[]> {
  await using child = startWatchers(kubeconfig);
  // The CA of the API is there before.
  await child.received(watchers);
  const end = performance.now() + 5000;
  const started = performance.now();
  let changes = 0;
  const change = async (): Promise<void> => {
    while (performance.now() < end) {
      changes += 1;
      await call("POST", maps, { metadata: { name: `c${changes}` }, data: { text: "x".repeat(100) } });
      await Bun.sleep(15);
    }
  };
  const took: number[] = [];
  const read = async (): Promise<void> => {
    while (performance.now() < end) {
      const asked = performance.now();
      await call("GET", `${pods}/s1`);
      took.push(performance.now() - asked);
      await Bun.sleep(5);
    }
  };
  await Promise.all([change(), read()]);
  await child.received((changes + 1) * watchers);
  const seconds = (performance.now() - started) / 1000;
  took.sort((a, b) => a - b);
  return [
    { name: `events a second to ${watchers} watchers`, value: (changes * watchers) / seconds, unit: "/s" },
    { name: "GET meanwhile p50", value: took[Math.floor(took.length / 2)] ?? 0, unit: "ms" },
    { name: "GET meanwhile p99", value: took[Math.floor(took.length * 0.99)] ?? 0, unit: "ms" },
  ];
}

interface Watchers extends AsyncDisposable {
  /** Resolves when they have had so many events in all. */
  received(count: number): Promise<void>;
}

function startWatchers(kubeconfig: string): Watchers {
  let events = 0;
  let waiting: { readonly count: number; readonly done: () => void } | undefined;
  const words = ["nice", "bun", join(import.meta.dir, "watchers.ts"), kubeconfig, maps, String(watchers)];
  const child = Bun.spawn(words, {
    stdout: "inherit",
    stderr: "inherit",
    ipc: (message: unknown) => {
      events = Number(message);
      if (waiting && events >= waiting.count) waiting.done();
    },
  });
  return {
    received: (count) =>
      new Promise((done) => {
        waiting = { count, done };
        if (events >= count) done();
      }),
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await child.exited;
    },
  };
}

/** Each node renews its lease every 20 s, until disposed. */
function heartbeats(call: Call): AsyncDisposable {
  const ending = new AbortController();
  const known = new Map<number, string>();
  const beat = async (): Promise<void> => {
    for (let at = 1; !ending.signal.aborted; at = (at % nodeCount) + 1) {
      const path = `${leases}/n${at}`;
      const { metadata } = JSON.parse(known.get(at) ?? (await call("GET", path))) as { metadata: object };
      known.set(at, await call("PUT", path, { ...lease(`n${at}`), metadata }));
      await Bun.sleep(20_000 / nodeCount);
    }
  };
  const running = beat();
  return {
    [Symbol.asyncDispose]: async () => {
      ending.abort();
      await running;
    },
  };
}

async function makeNode(call: Call, name: string): Promise<void> {
  const capacity = { cpu: "8", memory: "16Gi", pods: "110" };
  const ready = { type: "Ready", status: "True", reason: "KubeletReady", message: "played" };
  await call("POST", "/api/v1/nodes", {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { "kubernetes.io/hostname": name } },
    status: {
      capacity,
      allocatable: capacity,
      conditions: [ready],
      addresses: [{ type: "InternalIP", address: "10.0.0.1" }],
    },
  });
  await call("POST", leases, lease(name));
}

function lease(name: string): object {
  const renewTime = new Date().toISOString().replace("Z", "000Z");
  return {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { name, namespace: "kube-node-lease" },
    spec: { holderIdentity: name, leaseDurationSeconds: 40, renewTime },
  };
}

function pod(name: string, schedulerName: string): unknown {
  const resources = { requests: { cpu: "10m", memory: "16Mi" } };
  const containers = [{ name: "c", image: "busybox:1", env: [{ name: "A", value: "b" }], resources }];
  return { apiVersion: "v1", kind: "Pod", metadata: { name }, spec: { schedulerName, containers } };
}

function residentOf(pid: number, name: string): ApiFigure[] {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const read = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0) / 1024;
  return [
    { name: `${name}, resident`, value: read("VmRSS"), unit: "MiB" },
    { name: `${name}, anonymous`, value: read("RssAnon"), unit: "MiB" },
  ];
}

function openFilesOf(pid: number, name: string): ApiFigure[] {
  return [{ name: `${name}, open files`, value: readdirSync(`/proc/${pid}/fd`).length, unit: "" }];
}

function cpuSecondsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
