import { join } from "node:path";
import { mkdirSync, realpathSync } from "node:fs";
import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { EdgeCatalog } from "#shared/topics";
import type { NodeApiFacts } from "#edge/edged/environment";
import { EventRecorder } from "#edge/edged/events";
import {
  NodeAgent,
  nodeResources,
  readAddress,
  readLoad,
  readMachine,
  type NodeAgentConfig,
} from "#edge/edged/node";
import { findMisplaced, Pods, type PodsConfig } from "#edge/edged/pods";
import { PodStreams, type PodView } from "#edge/edged/streams";
import { removedEvent, UnknownPods } from "#edge/edged/unknown-pods";
import { measure, UsageStreams } from "#edge/edged/usage";
import { releaseAll } from "#edge/edged/volumes";
import type { ContainerRuntime } from "#edge/runtime";

/** `edged.*` of the config file, and the identity of the node. */
export interface EdgedSettings extends NodeAgentConfig, PodsConfig {
  /** Address of the node; that of the interface, or of the default route, when undefined. */
  readonly nodeIp: string | undefined;
  readonly interfaceName: string | undefined;
}

export type EdgedPort = Port<
  EdgeCatalog,
  "pod.status" | "event.recorded",
  "pod.list" | "object.get" | "pod.terminated" | "pod.confirm" | "cloud.token" | "cloud.node" | "cloud.lease",
  "pod.changed" | "config.changed" | "link.changed",
  "pod.stream" | "usage.stream" | "usage.measure" | "volume.remove"
>;

export interface EdgedDeps {
  readonly port: EdgedPort;
  /** Owned by the caller: not disposed with edged. */
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly log: Logger;
  /** The Kubernetes API on this node, for pods. */
  readonly nodeApi?: NodeApiFacts | undefined;
}

/**
 * Runs the pods that are stored for this node, and reports the node. Starting waits for neither the engine nor the
 * cloud; containers of an earlier run are adopted. Disposing leaves containers running.
 */
export async function startEdged(given: EdgedSettings, deps: EdgedDeps): Promise<Running> {
  await using stack = new AsyncDisposableStack();
  const { port, runtime, clock } = deps;
  const { config, pinsDir } = prepareDirs(given, deps.log);
  const { agent, pods, unknown } = makeParts(config, { ...deps, pinsDir });
  stack.use(unknown);
  stack.use(pods);
  stack.use(agent);
  const findPod = (namespace: string, name: string): PodView | undefined => pods.find(namespace, name);
  const streams = stack.use(new PodStreams({ runtime, clock, findPod }));
  stack.use(
    port.answer("pod.stream", async ({ stream }) => {
      streams.take(stream);
      return undefined;
    }),
  );
  const usage = stack.use(new UsageStreams({ clock, measure: () => measure({ runtime, clock }) }));
  stack.use(
    port.answer("usage.stream", async ({ stream }) => {
      usage.take(stream);
      return undefined;
    }),
  );
  stack.use(port.answer("usage.measure", () => measure({ runtime, clock })));
  stack.use(port.answer("volume.remove", ({ volume }) => pods.removeVolume(volume)));
  stack.use(port.on("pod.changed", (change) => pods.changed(change)));
  stack.use(port.on("config.changed", (change) => pods.configChanged(change)));
  stack.use(
    port.on("link.changed", (link) => {
      const { connected, database } = link;
      agent.linkChanged(link);
      // A pod that is missing in another database of the cloud may still be desired.
      unknown.linkChanged(connected && database?.held !== true);
      if (connected) pods.connected();
    }),
  );
  pods.load(await port.ask("pod.list", {}));
  stack.use(
    runtime.watch((hint) => {
      if (hint.kind !== "container") agent.wake();
      pods.hint(hint);
    }),
  );
  agent.wake();
  pods.relist();
  return running("edged", stack.move());
}

/** Creates the directories of edged and releases mounts for subPaths that an earlier run left. */
function prepareDirs(
  config: EdgedSettings,
  log: Logger,
): { readonly config: EdgedSettings; readonly pinsDir: string } {
  for (const name of ["pods", pinsName])
    mkdirSync(join(config.dataDir, name), { recursive: true, mode: 0o700 });
  // The kernel lists mounts by their real paths.
  const dataDir = realpathSync(config.dataDir);
  const pinsDir = join(dataDir, pinsName);
  releaseAll(pinsDir, (path, error) => log.warn("cannot release a mount of an earlier run", { path, error }));
  return { config: { ...config, dataDir }, pinsDir };
}

/** Directory of what subPaths are mounted at while their containers start. */
const pinsName = "subpaths";

interface Parts {
  readonly agent: NodeAgent;
  readonly pods: Pods;
  readonly unknown: UnknownPods;
}

function makeParts(config: EdgedSettings, deps: EdgedDeps & { readonly pinsDir: string }): Parts {
  const { port, runtime, clock, log } = deps;
  const { nodeName, dataDir, maxPods, nodeIp, interfaceName } = config;
  const machine = readMachine();
  let hostIp: string | undefined;
  const address = (): string => nodeIp || (hostIp ??= readAddress(interfaceName));
  const recorder = new EventRecorder({
    nodeName,
    clock,
    emit: (event) => void port.emit("event.recorded", { event }),
  });
  const unknown = new UnknownPods({
    runtime,
    clock,
    log,
    dataDir,
    confirm: (pod) => port.ask("pod.confirm", pod),
    isKnown: (uid) => pods.has(uid),
    onRemoved: (pod, count, why) => recorder.recordNode(removedEvent(pod, count, why)),
  });
  const { allocatable } = nodeResources(machine, readLoad(dataDir), maxPods);
  const agent = new NodeAgent(config, {
    runtime,
    clock,
    log,
    machine,
    address,
    requestNode: (request) => port.ask("cloud.node", request),
    requestLease: (request) => port.ask("cloud.lease", request),
  });
  const pods = new Pods(config, {
    ...deps,
    recorder,
    address,
    allocatable,
    findMisplaced: (pod) => findMisplaced(pod, { node: agent.node, readNode: () => agent.readNode() }),
    onListed: (list) => unknown.look(list),
  });
  return { agent, pods, unknown };
}
