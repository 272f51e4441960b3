import { join } from "node:path";
import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import type { EvictionConfig } from "#shared/config";
import type { Logger } from "#shared/log";
import type { Pod } from "#shared/kube";
import type { EdgeCatalog, PodName, PodVerdict } from "#shared/topics";
import type { NodeApiFacts } from "#edge/edged/environment";
import type { ContainerRuntime, FileSystemUsage } from "#edge/runtime";
import type { Machine, MachineLoad, NodeAgentConfig, NodeResources } from "#edge/edged/node";
import type { PodsConfig } from "#edge/edged/pods";
import { EventRecorder } from "#edge/edged/events";
import { checkItem, NodeImages, type ImagesConfig } from "#edge/edged/images";
import { NodeAgent, nodeResources, readAddress, readLoad, readMachine } from "#edge/edged/node";
import { Evictor, hardBytes, type ContainerUse } from "#edge/edged/node/eviction";
import { Devices, type DevicesDeps } from "#edge/edged/node/device-plugins";
import type { ShutdownConfig } from "#edge/edged/node/shutdown";
import { measure, measureStorage, readNodeUsage } from "#edge/edged/node/usage";
import { findMisplaced, Pods } from "#edge/edged/pods";
import { StaticPods, type StaticPodsDeps } from "#edge/edged/static-pods";
import { removedEvent, UnknownPods } from "#edge/edged/unknown-pods";
import type { ReadMounts } from "#edge/edged/volumes";
import type { ContainerCounters } from "#shared/usage";

/** `edged.*` of the config file, and the identity of the node. */
export interface EdgedSettings extends NodeAgentConfig, PodsConfig {
  /** Address of the node; that of the interface, or of the default route, when undefined. */
  readonly nodeIp: string | undefined;
  readonly interfaceName: string | undefined;
  readonly maxPods: number;
  readonly images: ImagesConfig;
  /** Where static pods are; undefined: there are none. */
  readonly staticPodPath: string | undefined;
  readonly shutdown: ShutdownConfig;
  /** Where device plugins register; undefined: there are none. */
  readonly devicePluginPath: string | undefined;
  readonly eviction: EvictionConfig;
  /** What pods may not use: quantities by resource. */
  readonly reserved: readonly Readonly<Record<string, string>>[];
}

export type EdgedPort = Port<
  EdgeCatalog,
  "pod.status" | "event.recorded" | "node.recovered",
  | "pod.list"
  | "object.get"
  | "pod.terminated"
  | "pod.confirm"
  | "cloud.pod"
  | "cloud.mirror"
  | "cloud.token"
  | "cloud.node"
  | "cloud.lease",
  "pod.changed" | "config.changed" | "link.changed",
  "pod.stream" | "usage.stream" | "image.stream" | "usage.measure" | "volume.remove"
>;

export interface EdgedDeps {
  readonly port: EdgedPort;
  /** Owned by the caller: not disposed with edged. */
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly log: Logger;
  /** The Kubernetes API on this node, for pods. */
  readonly nodeApi?: NodeApiFacts | undefined;
  /** Device plugins; none without them. */
  readonly devicePlugins?: Pick<DevicesDeps, "api" | "record"> | undefined;
  /** Asked whether edged still works: what is wrong, or nothing. */
  readonly onHealth?: ((name: string, check: () => string | undefined) => Disposable) | undefined;
  /** What the machine has left; read from its kernel unless given. */
  readonly readLoad?: ((dataDir: string) => MachineLoad) | undefined;
  /** What is mounted; read from the kernel, in a thread, unless given. */
  readonly readMounts?: ReadMounts | undefined;
}

export interface Parts {
  readonly agent: NodeAgent;
  readonly pods: Pods;
  readonly unknown: UnknownPods;
  readonly evictor: Evictor;
  readonly images: NodeImages;
  readonly statics: StaticPods;
  readonly devices: Devices | undefined;
}

/** The parts of edged, wired to each other; nothing runs yet. */
export function makeParts(config: EdgedSettings, deps: EdgedDeps & { readonly pinsDir: string }): Parts {
  const { port } = deps;
  const { nodeName } = config;
  const address = addressOf(config);
  const recorder = recorderOf(nodeName, deps);
  const unknown = makeUnknown(config, deps, {
    isKnown: (uid) => pods.has(uid) || statics.mayHave(uid),
    isOrphan: (uid) => statics.isOrphan(uid),
    onRemoved: (pod, count, why) => recorder.recordNode(removedEvent(pod, count, why)),
  });
  const machine = readMachine();
  const base = resourcesOf(config, deps, machine);
  const devices = makeDevices(config, deps, {
    isActive: (uid) => pods.active().some(({ pod }) => pod.metadata.uid === uid),
    onChange: () => agent.wake(),
  });
  const resources = (): NodeResources => withCounts(base, devices?.counts());
  const evictor = makeEvictor(config, deps, {
    pods: () => pods.active(),
    reclaim: async () => {
      // Containers that have ended are of an image as well.
      await pods.reclaim();
      await images.reclaim();
    },
    record: (event) => recorder.recordNode(event),
    onChange: () => agent.wake(),
  });
  const agent = makeAgent(config, deps, {
    machine,
    resources,
    pressures: () => evictor.pressures,
    address,
  });
  const images = makeImages(config, deps, {
    record: (event) => recorder.recordNode(event),
    onLoaded: () => pods.imagesLoaded(),
  });
  const pods = new Pods(config, {
    ...deps,
    images,
    recorder,
    address,
    allocatable: () => resources().allocatable,
    devices: seamOf(devices),
    memoryBytes: machine.memoryBytes,
    pressures: () => evictor.pressures,
    findMisplaced: (pod) => findMisplaced(pod, { node: agent.node, readNode: () => agent.readNode() }),
    publish: (pod, status) =>
      statics.reports(pod, status) ?? port.emit("pod.status", { ...nameOf(pod), status }),
    onRemoved: (pod) => statics.removed(pod),
    onListed: (list) => unknown.look(list),
  });
  const statics = makeStatics(config, deps, {
    run: (pod) => pods.run(pod),
    end: (uid) => pods.end(uid),
    statusOf: (uid) => pods.statusOf(uid),
    nodeUid: () => agent.node?.metadata.uid,
  });
  return { agent, pods, unknown, evictor, images, statics, devices };
}

function makeUnknown(
  { dataDir }: EdgedSettings,
  { port, runtime, clock, log, readMounts }: EdgedDeps,
  others: Pick<ConstructorParameters<typeof UnknownPods>[0], "isKnown" | "isOrphan" | "onRemoved">,
): UnknownPods {
  const confirm = (pod: PodName): Promise<PodVerdict> => port.ask("pod.confirm", pod);
  return new UnknownPods({ runtime, clock, log, dataDir, readMounts, confirm, ...others });
}

function makeDevices(
  { devicePluginPath: path }: EdgedSettings,
  { devicePlugins, log }: EdgedDeps,
  others: Pick<DevicesDeps, "isActive" | "onChange">,
): Devices | undefined {
  return path === undefined || !devicePlugins
    ? undefined
    : new Devices({ path, log, ...devicePlugins, ...others });
}

/** Without plugins a pod needs nothing of them. */
function seamOf(devices: Devices | undefined): ConstructorParameters<typeof Pods>[1]["devices"] {
  return {
    admit: async (pod) => devices?.admit(pod),
    prepare: async (pod, container) => devices?.prepare(pod, container) ?? [],
    held: (pod) => devices?.held(pod) ?? [],
  };
}

/** Devices count beside what the machine has. */
function withCounts(
  { capacity, allocatable }: NodeResources,
  devices: NodeResources | undefined,
): NodeResources {
  return {
    capacity: { ...capacity, ...devices?.capacity },
    allocatable: { ...allocatable, ...devices?.allocatable },
  };
}

/** Of the interface, asked for once it is needed. */
function addressOf({ nodeIp, interfaceName }: EdgedSettings): () => string {
  let hostIp: string | undefined;
  return () => nodeIp || (hostIp ??= readAddress(interfaceName));
}

function makeAgent(
  config: EdgedSettings,
  { port, runtime, clock, log }: EdgedDeps,
  facts: Pick<ConstructorParameters<typeof NodeAgent>[1], "machine" | "resources" | "pressures" | "address">,
): NodeAgent {
  return new NodeAgent(config, {
    runtime,
    clock,
    log,
    ...facts,
    onRecovered: () => void port.emit("node.recovered", {}),
    requestNode: (request) => port.ask("cloud.node", request),
    requestLease: (request) => port.ask("cloud.lease", request),
  });
}

function makeImages(
  config: EdgedSettings,
  deps: EdgedDeps,
  others: Pick<ConstructorParameters<typeof NodeImages>[1], "record" | "onLoaded">,
): NodeImages {
  const { runtime, clock, log } = deps;
  const check: ConstructorParameters<typeof NodeImages>[1]["check"] = (item) =>
    checkItem(item, machineState(config, deps));
  return new NodeImages(config.images, { runtime, clock, log, dataDir: config.dataDir, ...others, check });
}

function makeStatics(
  { nodeName, dataDir, staticPodPath: path }: EdgedSettings,
  { port, clock, log }: EdgedDeps,
  others: Pick<StaticPodsDeps, "run" | "end" | "statusOf" | "nodeUid">,
): StaticPods {
  const timeoutMs = cloudTimeoutMs;
  return new StaticPods({
    clock,
    log,
    nodeName,
    path,
    keptDir: join(dataDir, "static-pods"),
    ...others,
    report: (pod, status) => port.emit("pod.status", { ...pod, status }),
    create: (mirror) => port.ask("cloud.mirror", { mirror, timeoutMs }),
    read: (namespace, name) => port.ask("cloud.pod", { namespace, name, timeoutMs }),
    remove: (pod) => port.ask("pod.terminated", pod),
  });
}

/** Several attempts fit into a lease of the node. */
const cloudTimeoutMs = 10_000;

function nameOf({ metadata: { namespace = "", name = "", uid = "" } }: Pod): PodName {
  return { namespace, name, uid };
}

function recorderOf(nodeName: string, { port, clock }: EdgedDeps): EventRecorder {
  return new EventRecorder({ nodeName, clock, emit: (event) => void port.emit("event.recorded", { event }) });
}

function resourcesOf(config: EdgedSettings, deps: EdgedDeps, machine: Machine): NodeResources {
  const { dataDir, maxPods, reserved, eviction } = config;
  const load = (deps.readLoad ?? readLoad)(dataDir);
  const kept = {
    memoryBytes: hardBytes(eviction, "memory.available", load.memoryBytes),
    diskBytes: hardBytes(eviction, "nodefs.available", load.disk.capacityBytes),
  };
  return nodeResources({ machine, load, maxPods, reserved, kept });
}

function makeEvictor(
  { dataDir, eviction }: EdgedSettings,
  { runtime, clock, log, readLoad: read = readLoad }: EdgedDeps,
  others: Pick<ConstructorParameters<typeof Evictor>[1], "pods" | "reclaim" | "record" | "onChange">,
): Evictor {
  const use = async (amountOf: (one: ContainerCounters) => number | undefined): Promise<ContainerUse> => {
    const { containers } = await measure({ runtime, clock });
    return useOf(containers, amountOf);
  };
  const watchesImages = Object.keys({ ...eviction.hard, ...eviction.soft }).some((one) =>
    one.startsWith("imagefs"),
  );
  return new Evictor(eviction, {
    clock,
    log,
    ...others,
    readLoad: async () => {
      const load = read(dataDir);
      return watchesImages && !load.images ? { ...load, images: await imageDisk(runtime) } : load;
    },
    measureMemory: () => use(({ workingSetBytes }) => workingSetBytes),
    measureProcesses: () => use(({ processes }) => processes),
    measureStorage: ({ pod, containers }, signal) => {
      const podDir = join(dataDir, "pods", pod.metadata.uid ?? "");
      return measureStorage({ pod, containers, podDir }, { runtime, signal });
    },
  });
}

/** How long the processors are watched for a check. */
const cpuWindowMs = 200;

function machineState(
  { dataDir }: EdgedSettings,
  { runtime, clock, readLoad: read = readLoad }: EdgedDeps,
): Parameters<typeof checkItem>[1] {
  return {
    cpuPercent: async () => {
      const before = readNodeUsage();
      const sinceMs = clock.monotonicMs();
      await clock.sleep(cpuWindowMs);
      const busyMs = (readNodeUsage().cpuNanoseconds - before.cpuNanoseconds) / 1e6;
      return (busyMs * 100) / Math.max(1, clock.monotonicMs() - sinceMs) / readMachine().cpus;
    },
    memory: () => {
      const { memoryBytes, memoryAvailableBytes } = read(dataDir);
      return { totalBytes: memoryBytes, availableBytes: memoryAvailableBytes };
    },
    disks: async () => {
      const { disk, images = await imageDisk(runtime) } = read(dataDir);
      return images ? [disk, images] : [disk];
    },
  };
}

/** Where images are; undefined while the engine cannot be asked, or is another machine's. */
async function imageDisk(runtime: ContainerRuntime): Promise<FileSystemUsage | undefined> {
  try {
    return await runtime.imageFs();
  } catch {
    // The engine is away: what it keeps cannot be removed either.
    return undefined;
  }
}

function useOf(
  containers: readonly ContainerCounters[],
  amountOf: (one: ContainerCounters) => number | undefined,
): ContainerUse {
  const pods = new Map<string, Map<string, number>>();
  for (const one of containers) {
    const amount = amountOf(one);
    if (amount === undefined) continue;
    const pod = pods.get(one.podUid) ?? new Map<string, number>();
    pods.set(one.podUid, pod.set(one.container, amount));
  }
  return pods;
}
