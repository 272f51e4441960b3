import type { Clock } from "#shared/clock";
import { AppError, describeError, UnavailableError } from "#shared/errors";
import type { Lease, Node, NodeStatus, Status } from "#shared/kube";
import type { Logger } from "#shared/log";
import type { ApiAnswer, CloudDatabase, LeaseRequest, NodeObjectRequest } from "#shared/topics";
import type { ContainerRuntime, Image } from "#edge/runtime";
import { NodeLease } from "./lease.ts";
import type { Machine } from "./machine.ts";
import type { NodeResources } from "./resources.ts";
import { newNode, nodeLabels, nodeStatus, type NodeInput, type NodeWanted } from "./status.ts";

export interface NodeAgentConfig {
  readonly nodeName: string;
  /** Otherwise the operator creates the Node; its status is reported all the same. */
  readonly registerNode: boolean;
  readonly registerSchedulable: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: NodeWanted["taints"];
  /** Namespace nodes travel under, "default" up to KubeEdge 1.22. */
  readonly wireNamespace: string;
  /** As the Node shows it, e.g. "v1.26.15-kubeedge-v1.15.4-bun-v0.2.0". */
  readonly version: string;
  readonly readOnlyPort: number;
  /** How often the lease is renewed and the status computed; 10 s as in KubeEdge. */
  readonly statusIntervalMs: number;
}

export interface LinkChange {
  readonly connected: boolean;
  readonly database?: CloudDatabase;
}

export interface NodeAgentDeps {
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly log: Logger;
  readonly machine: Machine;
  readonly resources: () => NodeResources;
  /** Types of the conditions of pressure that are True. */
  readonly pressures: () => readonly string[];
  readonly address: () => string;
  /** The cloud shows the Node as Ready again. */
  readonly onRecovered: () => void;
  readonly requestNode: (request: NodeObjectRequest) => Promise<ApiAnswer<Node>>;
  readonly requestLease: (request: LeaseRequest) => Promise<ApiAnswer<Lease>>;
}

/** kubelet: nodeStatusReportFrequency. Between them an unchanged status is not sent: the link may cost money. */
const fullReportMs = 300_000;
/** As kubelet reports it. */
const shuttingDown = { reason: "KubeletNotReady", message: "node is shutting down" };
/** Several attempts fit into one lease. */
const requestTimeoutMs = 10_000;
const retryMs = 2000;

/**
 * Keeps the Node and its lease in the cloud, as kubelet_node_status.go and kubelet's lease controller do: registers when
 * the link is up, reports the status at once on a change and at least every five minutes, renews the lease. Without a
 * link it only observes the machine.
 */
export class NodeAgent implements AsyncDisposable {
  readonly #config: NodeAgentConfig;
  readonly #deps: NodeAgentDeps;
  readonly #closed = new AbortController();
  #connected = false;
  #cloudDatabase: CloudDatabase | undefined;
  #registered = false;
  #nodeUid: string | undefined;
  /** As the cloud last showed it. */
  #node: Node | undefined;
  readonly #lease: NodeLease;
  #reported: { readonly text: string; readonly atMs: number } | undefined;
  #status: NodeStatus | undefined;
  /** What the cloud was last given. */
  #shownReady: boolean | undefined;
  #engineVersion = "unknown";
  #images: readonly Image[] = [];
  #engineProblem: NodeInput["engineProblem"];
  #isShuttingDown = false;
  #dirty = false;
  #running: Promise<void> | undefined;
  #timer: Disposable | undefined;

  constructor(config: NodeAgentConfig, deps: NodeAgentDeps) {
    this.#config = config;
    this.#deps = deps;
    const { nodeName, statusIntervalMs: intervalMs } = config;
    const request = (operation: LeaseRequest["operation"]): Promise<ApiAnswer<Lease>> =>
      deps.requestLease({ name: nodeName, operation, timeoutMs: requestTimeoutMs });
    this.#lease = new NodeLease({ clock: deps.clock, nodeName, intervalMs, request });
  }

  linkChanged({ connected, database }: LinkChange): void {
    this.#connected = connected;
    if (connected) {
      this.#cloudDatabase = database;
      this.#registered = false;
      this.#reported = undefined;
      this.#lease.expire();
    }
    this.wake();
  }

  /** The machine shuts down: the Node is not ready from now on. @returns resolves once that was reported, or cannot be */
  async shutDown(): Promise<void> {
    this.#isShuttingDown = true;
    this.wake();
    await this.#running;
  }

  /** Reads the state of the machine and reports what changed. */
  wake(): void {
    this.#dirty = true;
    this.#running ??= this.#loop();
  }

  /** The Node as the cloud showed it last. */
  get node(): Node | undefined {
    return this.#node;
  }

  /** The Node as the cloud has it now; undefined while that cannot be known. */
  async readNode(): Promise<Node | undefined> {
    try {
      const { object } = await this.#askNode({ verb: "get" });
      return object;
    } catch (error) {
      this.#deps.log.debug("cannot read node", { node: this.#config.nodeName, error });
      return undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    this.#timer?.[Symbol.dispose]();
    await this.#running;
  }

  async #loop(): Promise<void> {
    await Promise.resolve();
    let waitMs = this.#config.statusIntervalMs;
    while (this.#dirty && !this.#closed.signal.aborted) {
      this.#dirty = false;
      waitMs = this.#config.statusIntervalMs;
      try {
        await this.#pass();
      } catch (error) {
        const level = error instanceof UnavailableError ? "debug" : "warn";
        this.#deps.log[level]("cannot report node", { node: this.#config.nodeName, error });
        waitMs = retryMs;
      }
    }
    this.#running = undefined;
    if (this.#closed.signal.aborted) return;
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#deps.clock.after(waitMs, () => this.wake());
  }

  async #pass(): Promise<void> {
    await this.#look();
    if (!this.#connected) return;
    if (!this.#registered && this.#config.registerNode) await this.#register();
    await this.#report();
    await this.#renewLease();
  }

  async #look(): Promise<void> {
    const { runtime, clock } = this.#deps;
    try {
      const info = await runtime.info({ signal: this.#closed.signal });
      this.#engineVersion = `${info.name}://${info.version.replace(/\+.*$/, "")}`;
      this.#images = await runtime.listImages();
      this.#engineProblem = info.problem === undefined ? undefined : notReady(info.problem);
    } catch (error) {
      this.#closed.signal.throwIfAborted();
      this.#engineProblem = { reason: "ContainerRuntimeDown", message: describeError(error) };
    }
    this.#status = nodeStatus(this.#input(clock.nowMs()));
  }

  #input(nowMs: number): NodeInput {
    const { nodeName, version, readOnlyPort } = this.#config;
    return {
      nodeName,
      address: this.#deps.address(),
      machine: this.#deps.machine,
      resources: this.#deps.resources(),
      pressures: this.#deps.pressures(),
      engineProblem: this.#isShuttingDown ? shuttingDown : this.#engineProblem,
      cloudDatabase: this.#cloudDatabase,
      engineVersion: this.#engineVersion,
      kubeletVersion: version,
      kubeletPort: readOnlyPort,
      images: this.#images,
      previous: this.#status,
      nowMs,
    };
  }

  /** As KubeEdge: insert; when the Node exists already, read it and correct our labels. */
  async #register(): Promise<void> {
    const { log, clock } = this.#deps;
    const node = newNode(this.#input(clock.nowMs()), this.#config);
    const answer = await this.#askNode({ verb: "create", node });
    if (answer.failure?.reason === "AlreadyExists") await this.#reconcile();
    else if (answer.failure) throw refusal("register node", answer.failure);
    else this.#nodeUid = answer.object?.metadata?.uid;
    this.#registered = true;
    log.info("node registered", { node: this.#config.nodeName });
  }

  async #reconcile(): Promise<void> {
    const { object: node, failure } = await this.#askNode({ verb: "get" });
    if (failure || !node) throw refusal("read node", failure);
    this.#nodeUid = node.metadata?.uid;
    const wanted = {
      ...nodeLabels({ nodeName: this.#config.nodeName, machine: this.#deps.machine }),
      ...this.#config.labels,
    };
    const labels = node.metadata?.labels ?? {};
    if (Object.entries(wanted).every(([name, value]) => labels[name] === value)) return;
    const next = { ...node, metadata: { ...node.metadata, labels: { ...labels, ...wanted } } };
    const answer = await this.#askNode({ verb: "update", node: next });
    if (answer.failure) throw refusal("update labels of node", answer.failure);
  }

  async #report(): Promise<void> {
    const { clock } = this.#deps;
    const status = this.#status;
    if (!status) return;
    const text = comparable(status);
    const nowMs = clock.monotonicMs();
    if (this.#reported?.text === text && nowMs - this.#reported.atMs < fullReportMs) return;
    const answer = await this.#askNode({
      verb: "patch",
      status: { ...status, images: status.images ?? [] },
    });
    if (answer.failure?.reason === "NotFound") this.#forget();
    if (answer.failure) throw refusal("report status of node", answer.failure);
    this.#reported = { text, atMs: nowMs };
    const wasReady = this.#shownReady;
    this.#shownReady = isReady(status);
    if (wasReady === false && this.#shownReady) this.#deps.onRecovered();
  }

  /** The Node was deleted in the cloud while this node is still admitted: it is registered again. */
  #forget(): void {
    this.#registered = false;
    this.#reported = undefined;
    this.#lease.forget();
  }

  async #renewLease(): Promise<void> {
    if (!this.#lease.isDue) return;
    const failure = await this.#lease.renew(this.#nodeUid);
    // A lease is deleted with its Node: the next report shows whether that still exists.
    if (failure?.reason === "NotFound") this.#reported = undefined;
    if (failure) throw refusal("renew lease of node", failure);
  }

  async #askNode(operation: NodeObjectRequest["operation"]): Promise<ApiAnswer<Node>> {
    const { wireNamespace: namespace, nodeName: name } = this.#config;
    const answer = await this.#deps.requestNode({ namespace, name, operation, timeoutMs: requestTimeoutMs });
    // A cloud that answers with a part of it leaves its labels unknown.
    if (answer.object?.metadata?.labels) this.#node = answer.object;
    return answer;
  }
}

function isReady({ conditions }: NodeStatus): boolean {
  return conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true;
}

/** kubelet's reason for what the engine says itself. */
function notReady(message: string): NodeInput["engineProblem"] {
  return { reason: "KubeletNotReady", message };
}

function refusal(what: string, status: Status | undefined): AppError {
  return new AppError("cloud-refused", `Cannot ${what}: ${status?.message ?? status?.reason ?? "refused"}`);
}

/** The status without the heartbeats, which always change. */
function comparable(status: NodeStatus): string {
  const conditions = status.conditions?.map(({ lastHeartbeatTime: _heartbeat, ...rest }) => rest);
  return JSON.stringify({ ...status, conditions });
}
