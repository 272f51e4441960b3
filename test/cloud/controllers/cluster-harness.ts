import { join } from "node:path";
import { createKubeClient, type KubeClient } from "#cloud/kube-client";
import type { ControllerDeps } from "#internal/cloud/controllers/framework/controller.ts";
import { followShared } from "#internal/cloud/controllers/framework/shared-informers.ts";
import { startTestServer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { systemClock, type Clock } from "#shared/clock";
import type { Node, Pod } from "#shared/kube";

export interface Cluster extends AsyncDisposable {
  readonly server: TestServer;
  readonly kube: KubeClient;
  readonly deps: ControllerDeps;
}

/** Synced informers over a client, as controllers get them. */
export async function controllerDeps(kube: KubeClient, clock: Clock = systemClock): Promise<ControllerDeps> {
  const { informers, synced } = followShared(kube);
  await synced;
  return { kube, clock, log: silentLog(), ...informers };
}

/** The embedded API server, a client and shared informers. */
export async function startCluster(dataDir: string): Promise<Cluster> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startTestServer(dataDir));
  const path = join(dataDir, "kubeconfig");
  await server.api.writeKubeconfig(path);
  const shared = { clock: systemClock, log: silentLog() };
  const kube = stack.use(await createKubeClient({ from: "kubeconfig", path }, shared));
  const followed = stack.use(followShared(kube));
  await followed.synced;
  const deps = { kube, ...shared, ...followed.informers };
  const owned = stack.move();
  return { server, kube, deps, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Waits until `ready` returns true. @throws Error after `ms` */
export async function until(
  what: string,
  ready: () => boolean | Promise<boolean>,
  ms = 10_000,
): Promise<void> {
  const end = performance.now() + ms;
  while (performance.now() < end) {
    if (await ready()) return;
    await Bun.sleep(5);
  }
  throw new Error(`not within ${ms} ms: ${what}`);
}

export function readyNode(name: string): Node {
  const heartbeat = { lastHeartbeatTime: "2026-01-01T00:00:00Z", lastTransitionTime: "2026-01-01T00:00:00Z" };
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { "node-role.kubernetes.io/edge": "" } },
    status: {
      allocatable: { cpu: "1", memory: "1Gi", pods: "10" },
      conditions: [{ type: "Ready", status: "True", reason: "KubeletReady", message: "ready", ...heartbeat }],
    },
  };
}

export function smallPod(name: string, cpu = "100m"): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default" },
    spec: { containers: [{ name: "c", image: "busybox", resources: { requests: { cpu } } }] },
  };
}
