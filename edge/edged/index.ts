import { join } from "node:path";
import { mkdirSync, realpathSync } from "node:fs";
import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import { UnavailableError } from "#shared/errors";
import { findPodFault, type KubeObject, type Pod } from "#shared/kube";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { EdgeCatalog, ObjectChange } from "#shared/topics";
import { EventRecorder } from "#edge/edged/events";
import {
  NodeAgent,
  nodeResources,
  readAddress,
  readLoad,
  readMachine,
  type LinkChange,
  type NodeAgentConfig,
} from "#edge/edged/node";
import { envReferences, type Objects } from "#edge/edged/environment";
import { releaseAll, tokenRequests, volumeReferences } from "#edge/edged/volumes";
import { PodWorker, type PodWorkerDeps } from "#edge/edged/pods";
import { removedEvent, UnknownPods } from "#edge/edged/unknown-pods";
import { requestTokens } from "#edge/edged/tokens";
import { hasAppArmor } from "#edge/edged/security-context";
import type { ContainerRuntime, ContainerSummary, RuntimeHint } from "#edge/runtime";

/** What `edged.*` of the config file says, and whose node this is. */
export interface EdgedConfig extends NodeAgentConfig {
  /** Address of the node; that of the interface, or of the default route, when undefined. */
  readonly nodeIp: string | undefined;
  readonly interfaceName: string | undefined;
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  /** Sysctls pods may set beyond Kubernetes' safe set. */
  readonly allowedUnsafeSysctls: readonly string[];
  /** The engine's list is read so often even without a hint; 3 s unless told. */
  readonly relistMs?: number;
}

export type EdgedPort = Port<
  EdgeCatalog,
  "pod.status" | "event.recorded",
  "pod.list" | "object.get" | "pod.terminated" | "pod.confirm" | "cloud.token" | "cloud.node" | "cloud.lease",
  "pod.changed" | "config.changed" | "link.changed",
  never
>;

export interface EdgedDeps {
  readonly port: EdgedPort;
  /** Stays the caller's: it is not disposed with edged. */
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Runs the pods that are stored for this node, and reports the node. Starting waits for neither the engine nor the
 * cloud; containers of an earlier run are taken over as they are. Disposing leaves containers running.
 */
export async function startEdged(config: EdgedConfig, deps: EdgedDeps): Promise<Running> {
  await using stack = new AsyncDisposableStack();
  for (const name of ["pods", pinsName])
    mkdirSync(join(config.dataDir, name), { recursive: true, mode: 0o700 });
  // The kernel's list of mounts knows no links.
  const dataDir = realpathSync(config.dataDir);
  releaseAll(join(dataDir, pinsName), (path, error) =>
    deps.log.warn("cannot release a mount of an earlier run", { path, error }),
  );
  const pods = stack.use(new Pods({ ...config, dataDir }, deps));
  const { port, runtime } = deps;
  stack.use(port.on("pod.changed", (change) => pods.changed(change)));
  stack.use(port.on("config.changed", (change) => pods.configChanged(change)));
  stack.use(port.on("link.changed", (link) => pods.linkChanged(link)));
  pods.load(await port.ask("pod.list", {}));
  stack.use(runtime.watch((hint) => pods.hint(hint)));
  pods.begin();
  return running("edged", stack.move());
}

const mostGone = 200;
/** Directory of what subPaths are mounted at while their containers start. */
const pinsName = "subpaths";

/** All pods of the node, each with its worker, and the list of the engine they are compared with. */
class Pods implements AsyncDisposable {
  readonly #config: EdgedConfig;
  readonly #deps: EdgedDeps;
  readonly #agent: NodeAgent;
  readonly #recorder: EventRecorder;
  readonly #workers = new Map<string, PodWorker>();
  /** By uid: id and phase of each container at the last list. */
  #seen = new Map<string, string>();
  readonly #unknown: UnknownPods;
  /** Uids of deleted pods of which nothing is left here. */
  #goneLately = new Set<string>();
  readonly #machine = readMachine();
  #allocatable: Readonly<Record<string, string>>;
  #hostIp: string | undefined;
  #loaded = false;
  #closed = false;
  #relistAgain = false;
  #relisting: Promise<void> | undefined;
  #timer: Disposable | undefined;

  constructor(config: EdgedConfig, deps: EdgedDeps) {
    const { port, runtime, clock, log } = deps;
    this.#config = config;
    this.#deps = deps;
    this.#allocatable = nodeResources(this.#machine, readLoad(config.dataDir), config.maxPods).allocatable;
    const emit = (event: Parameters<typeof port.emit<"event.recorded">>[1]["event"]): void =>
      void port.emit("event.recorded", { event });
    this.#recorder = new EventRecorder({ nodeName: config.nodeName, clock, emit });
    this.#unknown = new UnknownPods({
      runtime,
      clock,
      log,
      dataDir: config.dataDir,
      confirm: (pod) => port.ask("pod.confirm", pod),
      isKnown: (uid) => this.#workers.has(uid),
      onRemoved: (pod, count, why) => this.#recorder.recordNode(removedEvent(pod, count, why)),
    });
    this.#agent = new NodeAgent(config, {
      runtime,
      clock,
      log,
      machine: this.#machine,
      address: () => this.#address(),
      requestNode: (request) => port.ask("cloud.node", request),
      requestLease: (request) => port.ask("cloud.lease", request),
    });
  }

  /** The stored pods; changes heard before are newer and win. */
  load(pods: readonly Pod[]): void {
    for (const pod of pods) if (!this.#workers.has(pod.metadata.uid ?? "")) this.#tryWant(pod);
    this.#loaded = true;
  }

  begin(): void {
    this.#agent.wake();
    this.#relist();
  }

  changed({ namespace, name, object }: ObjectChange): Promise<void> | undefined {
    const pod = object as Pod | undefined;
    for (const [uid, worker] of this.#workers) {
      const { metadata } = worker.pod;
      const sameName = metadata.namespace === namespace && metadata.name === name;
      if (sameName && uid !== pod?.metadata.uid) worker.submit(undefined);
    }
    if (pod && this.#isGone(pod)) return this.#goneAgain(pod);
    if (pod) this.#want(pod);
    return undefined;
  }

  configChanged({ type, namespace, name }: ObjectChange): void {
    const key = `${type}/${name}`;
    for (const worker of this.#workers.values()) {
      const { pod } = worker;
      if (pod.metadata.namespace === namespace && referencesOf(pod).includes(key)) worker.refresh();
    }
  }

  linkChanged(link: LinkChange): void {
    const { connected, database } = link;
    this.#agent.linkChanged(link);
    // What a cloud with another database does not know may well be wanted.
    this.#unknown.linkChanged(connected && database?.held !== true);
    if (connected) this.#relist();
    if (!connected) return;
    // What could not be known without the cloud can be asked for now.
    for (const worker of this.#workers.values()) if (referencesOf(worker.pod).length > 0) worker.refresh();
  }

  hint(hint: RuntimeHint): void {
    if (hint.kind === "container") {
      this.#workers.get(hint.podUid)?.invalidate(hint.id);
      return;
    }
    this.#agent.wake();
    if (hint.kind === "connected") for (const worker of this.#workers.values()) worker.wake();
    this.#relist();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    await this.#agent[Symbol.asyncDispose]();
    await Promise.all([...this.#workers.values()].map((worker) => worker[Symbol.asyncDispose]()));
    await this.#relisting;
    await this.#unknown[Symbol.asyncDispose]();
  }

  /** One pod that cannot be taken must not keep the node from starting. */
  #tryWant(pod: Pod): void {
    try {
      this.#want(pod);
    } catch (error) {
      this.#deps.log.error("stored pod cannot be used", { pod: pod.metadata.name, error });
    }
  }

  #want(pod: Pod): void {
    if (this.#closed) return;
    const fault = findFault(pod);
    const { uid } = pod.metadata;
    if (fault !== undefined || uid === undefined) {
      const { namespace, name } = pod.metadata;
      this.#deps.log.warn("pod refused", { pod: `${namespace}/${name}`, reason: fault });
      return;
    }
    const worker = this.#workers.get(uid) ?? new PodWorker(pod, this.#workerDeps(uid));
    this.#workers.set(uid, worker);
    worker.submit(pod);
  }

  #workerDeps(uid: string): PodWorkerDeps {
    const { port, runtime, clock, log } = this.#deps;
    return {
      runtime,
      clock,
      log,
      podDir: this.#podDir(uid),
      dns: { servers: this.#config.clusterDns, domain: this.#config.clusterDomain },
      pinsDir: join(this.#config.dataDir, pinsName),
      security: {
        allowedUnsafeSysctls: this.#config.allowedUnsafeSysctls,
        seccompDir: join(this.#config.dataDir, "seccomp"),
        appArmor: hasAppArmor(),
      },
      facts: () => ({
        nodeName: this.#config.nodeName,
        hostIp: this.#address(),
        allocatable: this.#allocatable,
      }),
      objects: (namespace, keys) => this.#objects(namespace, keys),
      tokens: (pod) =>
        requestTokens(pod, tokenRequests(pod), { ask: (request) => port.ask("cloud.token", request), log }),
      record: (pod, event) => this.#recorder.record(pod, event),
      publish: (pod, status) => port.emit("pod.status", { ...nameOf(pod), status }),
      onGone: (pod) => this.#gone(pod),
    };
  }

  /** One that is no longer being deleted came back with a restored database: it runs again. */
  #isGone({ metadata: { uid = "", deletionTimestamp } }: Pod): boolean {
    if (deletionTimestamp === undefined) this.#goneLately.delete(uid);
    return this.#goneLately.has(uid);
  }

  /** The cloud repeats a deletion that it did not see acknowledged: it was stored again, and there is nothing to do. */
  async #goneAgain(pod: Pod): Promise<void> {
    await this.#deps.port.ask("pod.terminated", nameOf(pod));
  }

  async #gone(pod: Pod): Promise<void> {
    const name = nameOf(pod);
    if (pod.metadata.deletionTimestamp)
      this.#goneLately = new Set([...this.#goneLately, name.uid].slice(-mostGone));
    if (pod.metadata.deletionTimestamp) await this.#deps.port.ask("pod.terminated", name);
    this.#workers.delete(name.uid);
    this.#seen.delete(name.uid);
    this.#deps.log.info("pod is gone", { pod: `${name.namespace}/${name.name}`, uid: name.uid });
    // Others may wait for its ports.
    for (const worker of this.#workers.values()) worker.retrySandbox();
  }

  async #objects(namespace: string, keys: readonly string[]): Promise<Objects> {
    const found = keys.map(async (key): Promise<[string, KubeObject | undefined]> => {
      const [type = "", name = ""] = key.split("/");
      return [key, await this.#deps.port.ask("object.get", { type, namespace, name })];
    });
    return new Map(await Promise.all(found));
  }

  #relist(): void {
    this.#relistAgain = true;
    this.#relisting ??= this.#relistLoop();
  }

  async #relistLoop(): Promise<void> {
    while (this.#relistAgain && !this.#closed) {
      this.#relistAgain = false;
      try {
        this.#compare(await this.#deps.runtime.list());
      } catch (error) {
        const away = error instanceof UnavailableError;
        this.#deps.log[away ? "debug" : "warn"]("cannot list containers", { error });
      }
    }
    this.#relisting = undefined;
    this.#timer?.[Symbol.dispose]();
    if (!this.#closed)
      this.#timer = this.#deps.clock.after(this.#config.relistMs ?? 3000, () => this.#relist());
  }

  #compare(list: readonly ContainerSummary[]): void {
    const now = new Map<string, string>();
    for (const { id, identity, phase } of list) {
      now.set(identity.podUid, `${now.get(identity.podUid) ?? ""}${id}${phase}\n`);
    }
    for (const [uid, worker] of this.#workers) if (now.get(uid) !== this.#seen.get(uid)) worker.wake();
    this.#seen = now;
    if (this.#loaded) this.#unknown.look(list);
  }

  #podDir(uid: string): string {
    return join(this.#config.dataDir, "pods", uid);
  }

  #address(): string {
    return this.#config.nodeIp || (this.#hostIp ??= readAddress(this.#config.interfaceName));
  }
}

/** Names become paths and container names: one that could leave its directory is refused. */
function findFault(pod: Pod): string | undefined {
  const fault = findPodFault(pod);
  if (fault !== undefined) return fault;
  const { uid, name, namespace } = pod.metadata;
  const containers = pod.spec?.containers ?? [];
  if (containers.length === 0) return "spec.containers: expected at least one";
  if (![uid, name, namespace].every(isName))
    return "metadata: name, namespace or uid is missing or not a name";
  const odd = [...containers, ...(pod.spec.initContainers ?? [])].find((one) => !isContainerName(one.name));
  return odd && `a container is called ${JSON.stringify(odd.name)}: expected a DNS label`;
}

function isName(name: string | undefined): boolean {
  return name !== undefined && /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/.test(name);
}

/** `POD` is the sandbox; an underscore would let two containers have one name in the engine. */
function isContainerName(name: string): boolean {
  return /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name);
}

function nameOf(pod: Pod): { readonly namespace: string; readonly name: string; readonly uid: string } {
  const { namespace = "", name = "", uid = "" } = pod.metadata;
  return { namespace, name, uid };
}

function referencesOf(pod: Pod): string[] {
  const containers = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
  const secrets = (pod.spec.imagePullSecrets ?? []).map(({ name }) => `secret/${name ?? ""}`);
  return [...volumeReferences(pod), ...containers.flatMap(envReferences), ...secrets];
}
