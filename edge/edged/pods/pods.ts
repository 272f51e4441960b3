import { join } from "node:path";
import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import { UnavailableError } from "#shared/errors";
import { asApiPod, objectKey, type KubeObject, type Pod, type PodStatus, withoutNulls } from "#shared/kube";
import type { Logger } from "#shared/log";
import type { EdgeCatalog, ObjectChange, PodName } from "#shared/topics";
import type { NodeApiFacts, Objects } from "#edge/edged/environment";
import type { EventRecorder } from "#edge/edged/events";
import type { NodeImages } from "#edge/edged/images";
import { hasAppArmor } from "#edge/edged/security-context";
import { requestTokens } from "#edge/edged/environment/tokens";
import {
  removeClaimDirectory,
  volumeTokenRequests,
  volumeReferences,
  type ReadMounts,
} from "#edge/edged/volumes";
import { claimSourceOf, volumeSourceOf } from "#shared/volumes";
import type { ContainerRuntime, ContainerSummary, RuntimeHint } from "#edge/runtime";
import {
  findUnusable,
  isNamed,
  kindOf,
  onHostNetwork,
  pressureRefusal,
  roomRefusal,
  type Refusal,
} from "#edge/edged/pods/admission";
import type { OomScores } from "./start.ts";
import { byAge, deletionOf, referencesOf } from "./state.ts";
import { PodWorker, type PodWorkerDeps } from "./worker.ts";

export interface PodsConfig {
  readonly nodeName: string;
  /** Pods' volumes and logs are kept in `pods/<uid>` below. */
  readonly dataDir: string;
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  /** Sysctls pods may set beyond Kubernetes' safe set. */
  readonly allowedUnsafeSysctls: readonly string[];
  /** Processes and threads of a container at most; undefined for as many as the engine allows. */
  readonly podPidsLimit: number | undefined;
  /** How often the engine is listed without a hint; 3 s by default. kubelet's PLEG relists each second. */
  readonly relistMs?: number;
}

export interface PodsDeps {
  readonly port: Port<EdgeCatalog, never, "object.get" | "pod.terminated" | "cloud.token", never, never>;
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly log: Logger;
  readonly recorder: EventRecorder;
  readonly images: Pick<NodeImages, "ensure">;
  /** What subPaths are mounted at while their containers start. */
  readonly pinsDir: string;
  /** Address of the node. */
  readonly address: () => string;
  /** What pods may use of the node, as its status shows it. */
  readonly allocatable: () => Readonly<Record<string, string>>;
  readonly devices: {
    readonly admit: PodWorkerDeps["admit"];
    readonly prepare: PodWorkerDeps["devicesOf"];
    /** Resources of plugins that a pod has already: there is room for it, also while the plugin has not registered again. */
    readonly held: (pod: Pod) => readonly string[];
  };
  /** Of the node. */
  readonly memoryBytes: number;
  readonly nodeApi?: NodeApiFacts | undefined;
  readonly readMounts?: ReadMounts | undefined;
  /** Types of the Node's conditions of pressure that are True, e.g. "MemoryPressure". */
  readonly pressures: () => readonly string[];
  /** What the Node has against a new pod. */
  readonly findMisplaced: (pod: Pod) => Promise<Refusal | undefined>;
  /** The status of a pod, for the cloud. */
  readonly publish: (pod: Pod, status: PodStatus) => Promise<void>;
  /** Nothing is left of a pod. */
  readonly onRemoved: (pod: Pod) => void;
  /** The engine's list, once the stored pods are known. */
  readonly onListed: (list: readonly ContainerSummary[]) => void;
}

/** A pod that runs here, as far as those see it that may have to end it. */
export type ActivePod = Pick<PodWorker, "pod" | "containers" | "end" | "suspend">;

/** A deletion is repeated within minutes; more pods than these (a node runs 110) are not deleted in that time. */
const mostRemembered = 200;

/** All pods of the node, each with its worker, and the list of the engine they are compared with (kubelet's PLEG). */
export class Pods implements AsyncDisposable {
  readonly #config: PodsConfig;
  readonly #deps: PodsDeps;
  readonly #workers = new Map<string, PodWorker>();
  /** By uid: id and phase of each container at the last list. */
  #seen = new Map<string, string>();
  /** Uids of the last deleted pods of which nothing is left here. */
  #recentlyRemoved = new Set<string>();
  #loaded = false;
  #closed = false;
  #relistAgain = false;
  #relisting: Promise<void> | undefined;
  #timer: Disposable | undefined;
  /** When the engine was last listed, or refused to be; by the clock that never goes back. */
  #listedAtMs: number;
  readonly #oomScores: OomScores = { negative: "unknown" };

  constructor(config: PodsConfig, deps: PodsDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#listedAtMs = deps.clock.monotonicMs();
  }

  /** For how long nothing has become of listing the engine, also not a failure; some seconds while all is well. */
  get stalledMs(): number {
    return this.#deps.clock.monotonicMs() - this.#listedAtMs;
  }

  has(uid: string): boolean {
    return this.#workers.has(uid);
  }

  statusOf(uid: string): PodStatus | undefined {
    return this.#workers.get(uid)?.status;
  }

  /** The pod of that name that runs here; the newest when another is still being removed. */
  find(namespace: string, name: string): Pick<PodWorker, "pod" | "status"> | undefined {
    return [...this.#workers.values()].findLast(
      ({ pod: { metadata } }) => metadata.namespace === namespace && metadata.name === name,
    );
  }

  /** Those that run here or are going to; the containers of each as last seen. */
  active(): ActivePod[] {
    return [...this.#workers.values()].filter((worker) => worker.isActive);
  }

  /** Removes what only tells of the past from the disk. */
  async reclaim(): Promise<void> {
    await Promise.all([...this.#workers.values()].map((worker) => worker.reclaim()));
  }

  /** The stored pods. Changes that were received before are newer and win. */
  load(pods: readonly Pod[]): void {
    // In the order in which they were made, as kubelet admits them.
    for (const pod of pods.toSorted(byAge))
      if (!this.#workers.has(pod.metadata.uid ?? "")) this.#trySubmit(pod);
    this.#loaded = true;
  }

  changed({ namespace, name, object }: ObjectChange): Promise<void> | undefined {
    // Objects of `pod.changed` are pods; `findUnusable` checks what they hold.
    const pod = object as Pod | undefined;
    for (const [uid, worker] of this.#workers) {
      const { metadata } = worker.pod;
      const sameName = metadata.namespace === namespace && metadata.name === name;
      if (sameName && uid !== pod?.metadata.uid) worker.submit(undefined);
    }
    if (pod && this.#isRemoved(pod)) return this.#confirmRemoval(pod);
    if (pod) this.#submit(asApiPod(withoutNulls(pod)));
    return undefined;
  }

  /** Runs a pod that does not come from the API. */
  run(pod: Pod): void {
    this.#submit(pod);
  }

  /** Ends such a pod, with its grace period. */
  end(uid: string): void {
    this.#workers.get(uid)?.submit(undefined);
  }

  /** Removes the directory of a volume whose claim was deleted. @throws UnavailableError while a pod here uses it */
  async removeVolume(volume: KubeObject): Promise<undefined> {
    const { path } = volumeSourceOf(volume);
    for (const { pod } of this.#workers.values()) {
      const { namespace = "" } = pod.metadata;
      const keys = volumeReferences(pod).filter((key) => key.startsWith("persistentvolumeclaim/"));
      for (const claim of (await this.#objects(namespace, keys)).values())
        if (claim && claimSourceOf(claim)?.path === path)
          throw new UnavailableError("volume-in-use", `${path} is in use by pod "${objectKey(pod)}"`);
    }
    await removeClaimDirectory(volume);
    this.#deps.log.info("directory of a deleted claim removed", { volume: volume.metadata.name, path });
    return undefined;
  }

  configChanged({ type, namespace, name }: ObjectChange): void {
    const key = `${type}/${name}`;
    for (const worker of this.#workers.values()) {
      const { pod } = worker;
      if (pod.metadata.namespace === namespace && referencesOf(pod).includes(key)) worker.refresh();
    }
  }

  /** The link is up: what was missing without the cloud can be requested now. */
  connected(): void {
    this.relist();
    for (const worker of this.#workers.values()) if (referencesOf(worker.pod).length > 0) worker.refresh();
  }

  /** Images were loaded: what waited for one is started now. */
  imagesLoaded(): void {
    for (const worker of this.#workers.values()) worker.retryImages();
  }

  hint(hint: RuntimeHint): void {
    if (hint.kind === "container") {
      this.#workers.get(hint.podUid)?.invalidate(hint.id);
      return;
    }
    if (hint.kind === "connected") for (const worker of this.#workers.values()) worker.wake();
    this.relist();
  }

  /** Lists the engine's containers now, and from then on in intervals. */
  relist(): void {
    this.#relistAgain = true;
    this.#relisting ??= this.#relistLoop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    await Promise.all([...this.#workers.values()].map((worker) => worker[Symbol.asyncDispose]()));
    await this.#relisting;
  }

  /** One unusable pod must not keep the node from starting. */
  #trySubmit(pod: Pod): void {
    try {
      this.#submit(asApiPod(withoutNulls(pod)));
    } catch (error) {
      this.#deps.log.error("cannot use stored pod", { pod: pod.metadata.name, error });
    }
  }

  #submit(given: Pod): void {
    if (this.#closed) return;
    const fault = findUnusable(given);
    const { uid } = given.metadata;
    if (fault !== undefined || uid === undefined)
      return this.#reject(given, fault ?? "metadata.uid: missing");
    const known = this.#workers.get(uid);
    const kind = known?.kind ?? kindOf(given, this.#deps.runtime.kinds?.processes);
    const pod = kind === "processes" ? onHostNetwork(given) : given;
    const worker = known ?? new PodWorker(pod, this.#workerDeps(uid, kind));
    this.#workers.set(uid, worker);
    worker.submit(pod);
  }

  /** kubelet: FailedValidation. What runs of an earlier version of the pod goes on, until the pod is deleted. */
  #reject({ metadata }: Pod, fault: string): void {
    const { log, recorder } = this.#deps;
    const pod = `${metadata.namespace}/${metadata.name}`;
    log.warn("pod rejected", { pod, reason: fault });
    if (!isNamed(metadata)) return;
    const worker = this.#workers.get(metadata.uid);
    if (metadata.deletionTimestamp === undefined || metadata.deletionTimestamp === null) {
      const message = `Error validating pod ${pod}: ${fault}`;
      recorder.record(
        { metadata, spec: { containers: [] } },
        { type: "Warning", reason: "FailedValidation", message },
      );
    } else if (worker)
      worker.submit({ ...worker.pod, metadata: { ...worker.pod.metadata, ...deletionOf(metadata) } });
    else
      this.#confirmRemoval({ metadata, spec: { containers: [] } }).catch((error: unknown) => {
        log.warn("cannot confirm the removal of a rejected pod", { pod, error });
      });
  }

  #workerDeps(uid: string, kind: PodWorkerDeps["kind"]): PodWorkerDeps {
    const { port, runtime: whole, images, clock, log, recorder, pinsDir, devices } = this.#deps;
    const { dataDir, clusterDns, clusterDomain, allowedUnsafeSysctls } = this.#config;
    const processes = kind === "processes" ? whole.kinds?.processes : undefined;
    return {
      runtime: processes ?? whole.kinds?.engine ?? whole,
      kind,
      processes,
      ofProcesses: processes !== undefined,
      images,
      clock,
      log,
      podDir: join(dataDir, "pods", uid),
      dns: { servers: clusterDns, domain: clusterDomain },
      pinsDir,
      security: { allowedUnsafeSysctls, seccompDir: join(dataDir, "seccomp"), appArmor: hasAppArmor() },
      limits: { memoryBytes: this.#deps.memoryBytes, processes: this.#config.podPidsLimit },
      oomScores: this.#oomScores,
      facts: () => this.#facts(),
      objects: (namespace, keys) => this.#objects(namespace, keys),
      tokens: (pod) =>
        requestTokens(pod, volumeTokenRequests(pod), {
          ask: (request) => port.ask("cloud.token", request),
          log,
        }),
      record: (pod, event) => recorder.record(pod, event),
      publish: this.#deps.publish,
      findNoRoom: (pod) => pressureRefusal(pod, this.#deps.pressures()) ?? this.#findNoRoom(pod),
      findNoResize: (pod) => this.#findNoResize(pod),
      admit: async (pod) => (await this.#deps.findMisplaced(pod)) ?? devices.admit(pod),
      devicesOf: devices.prepare,
      readMounts: this.#deps.readMounts,
      onGone: (pod) => this.#removed(pod),
    };
  }

  #facts(): ReturnType<PodWorkerDeps["facts"]> {
    const { address, allocatable, nodeApi } = this.#deps;
    return { nodeName: this.#config.nodeName, hostIp: address(), allocatable: allocatable(), nodeApi };
  }

  #findNoRoom(pod: Pod): Refusal | undefined {
    const { uid } = pod.metadata;
    const holders = [...this.#workers.values()].filter(
      (worker) => worker.holdsRoom && worker.pod.metadata.uid !== uid,
    );
    const held = new Set(this.#deps.devices.held(pod));
    const counted = Object.entries(this.#deps.allocatable()).filter(([resource]) => !held.has(resource));
    return roomRefusal(
      pod,
      holders.map((worker) => worker.pod),
      Object.fromEntries(counted),
    );
  }

  #findNoResize(pod: Pod): (Refusal & { readonly never: boolean }) | undefined {
    const refusal = this.#findNoRoom(pod);
    return refusal && { ...refusal, never: roomRefusal(pod, [], this.#deps.allocatable()) !== undefined };
  }

  /** A pod that is no longer being deleted was restored with the database of the cloud: it runs again. */
  #isRemoved({ metadata: { uid = "", deletionTimestamp } }: Pod): boolean {
    if (deletionTimestamp === undefined) this.#recentlyRemoved.delete(uid);
    return this.#recentlyRemoved.has(uid);
  }

  /** The cloud repeats a deletion whose acknowledgement was lost: the pod was stored again, and is removed again. */
  async #confirmRemoval(pod: Pod): Promise<void> {
    await this.#deps.port.ask("pod.terminated", nameOf(pod));
  }

  async #removed(pod: Pod): Promise<void> {
    const name = nameOf(pod);
    if (pod.metadata.deletionTimestamp)
      this.#recentlyRemoved = new Set([...this.#recentlyRemoved, name.uid].slice(-mostRemembered));
    if (pod.metadata.deletionTimestamp) await this.#deps.port.ask("pod.terminated", name);
    this.#workers.delete(name.uid);
    this.#seen.delete(name.uid);
    this.#deps.log.info("pod removed", { pod: `${name.namespace}/${name.name}`, uid: name.uid });
    this.#deps.onRemoved(pod);
    // Others may wait for its ports.
    for (const worker of this.#workers.values()) worker.retryRoom();
  }

  async #objects(namespace: string, keys: readonly string[]): Promise<Objects> {
    const found = keys.map(async (key): Promise<[string, KubeObject | undefined]> => {
      const [type = "", name = ""] = key.split("/");
      return [key, await this.#deps.port.ask("object.get", { type, namespace, name })];
    });
    return new Map(await Promise.all(found));
  }

  async #relistLoop(): Promise<void> {
    while (this.#relistAgain && !this.#closed) {
      this.#relistAgain = false;
      try {
        this.#compare(await this.#deps.runtime.list());
      } catch (error) {
        const level = error instanceof UnavailableError ? "debug" : "warn";
        this.#deps.log[level]("cannot list containers", { error });
      }
    }
    this.#relisting = undefined;
    this.#listedAtMs = this.#deps.clock.monotonicMs();
    this.#timer?.[Symbol.dispose]();
    if (!this.#closed)
      this.#timer = this.#deps.clock.after(this.#config.relistMs ?? 3000, () => this.relist());
  }

  #compare(list: readonly ContainerSummary[]): void {
    const now = new Map<string, string>();
    for (const { id, identity, phase } of list) {
      now.set(identity.podUid, `${now.get(identity.podUid) ?? ""}${id}${phase}\n`);
    }
    for (const [uid, worker] of this.#workers) if (now.get(uid) !== this.#seen.get(uid)) worker.wake();
    this.#seen = now;
    if (this.#loaded) this.#deps.onListed(list);
  }
}

function nameOf(pod: Pod): PodName {
  const { namespace = "", name = "", uid = "" } = pod.metadata;
  return { namespace, name, uid };
}
