import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { isKubeError, resources, type Informer, type KubeClient } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import { describeError, UnavailableError } from "#shared/errors";
import { asText, childOf, type JsonObject } from "#shared/json";
import type { KubeObject, Node } from "#shared/kube";
import { answerKubeletRequest, kubeletTarget, refusalText, type KubeletTarget } from "#shared/kubelet-api";
import { kubeletService } from "#shared/kubelet-tunnel";
import { withDeadline } from "#shared/lifecycle";
import { RateLimitedLog, type Logger } from "#shared/log";
import { subjectOfCertificate } from "#shared/pki";
import { askPod, PodRefusal, podStreamHead, refusePod, type PodStreamRequest } from "#shared/pod-streams";
import type { NodeEnd } from "#shared/remote-command";
import { endToEndHeaders, fetchOver, type ByteStream, type StreamHead } from "#shared/streams";
import type { UpgradeOffer } from "#shared/upgrades";
import { NodeAccess, type Caller } from "./access.ts";
import { nodeOfRequest } from "./node-of-request.ts";

/** Rejects UnavailableError when there is no way to the node. */
export type OpenNodeStream = (node: string, head: StreamHead) => Promise<ByteStream>;

export interface KubeletPortOptions {
  readonly kube: KubeClient;
  readonly nodes: Pick<Informer<Node>, "get">;
  readonly openStream: OpenNodeStream;
  readonly clock: Clock;
  readonly log: Logger;
  /** Streams to pods at a time. */
  readonly mostStreams?: number;
}

/** A log or a process is prepared within milliseconds; a slow link takes seconds. */
const answerMs = 30_000;
/** As many as the embedded API has; a link has 256. */
const mostStreams = 512;
/** Paths of a kubelet's server that are about the node, and that may be read. */
const nodePath = /^\/(?:metrics|stats|pods|runningpods|healthz|spec|configz)(?:\/|$)/;

/** Answers kube-apiserver in the place of the kubelets of all nodes. */
export class KubeletPort {
  readonly #options: KubeletPortOptions;
  readonly #access: NodeAccess;
  readonly #seldom: RateLimitedLog;
  #open = 0;

  constructor(options: KubeletPortOptions) {
    const { kube, clock, log } = options;
    this.#options = options;
    this.#access = new NodeAccess(kube, clock);
    this.#seldom = new RateLimitedLog(log, clock);
  }

  /** Never rejects. */
  async answer(request: Request, offer: UpgradeOffer | undefined, socket: Socket): Promise<Response> {
    try {
      return await this.#answer(request, offer, socket);
    } catch (error) {
      if (error instanceof PodRefusal) return refusalText(error);
      if (error instanceof UnavailableError) return refusalText(refusePod.unavailable(error.message));
      this.#seldom.warn(
        "cannot answer a request of the API server",
        { error: describeError(error) },
        "failed",
      );
      return refusalText(refusePod.internal("see the log of cloudcore"));
    }
  }

  async #answer(request: Request, offer: UpgradeOffer | undefined, socket: Socket): Promise<Response> {
    const caller = callerOf(socket);
    if (!caller) throw new PodRefusal(401, "Unauthorized", "Unauthorized");
    const { pathname: path, search } = new URL(request.url);
    const { method } = request;
    const named = nodeOfRequest(request.headers, (name) => this.#options.nodes.get(name) !== undefined);
    const target = kubeletTarget(method, path);
    if (target) return this.#answerPod({ request, offer, target, named, caller, path });
    if (named === undefined || method !== "GET" || !nodePath.test(path))
      throw refusePod.notFound(`no node is named by the request, or ${path} is not served`);
    await this.#authorize(caller, named, { method, path });
    return this.#askNode(named, request, path + search);
  }

  async #answerPod({ request, offer, target, named, caller, path }: PodAsked): Promise<Response> {
    const { clock, log } = this.#options;
    const findPod = async (): Promise<JsonObject> => {
      const pod = await this.#findPod(target);
      const node = asText(childOf(pod, "spec")?.["nodeName"]);
      // Through the proxy of one node nobody reaches pods of another.
      if (node === "" || (named !== undefined && named !== node))
        throw refusePod.notFound("pod does not exist");
      await this.#authorize(caller, node, { method: request.method, path });
      return pod;
    };
    return answerKubeletRequest(
      {
        findPod,
        ask: (node, wanted, signal) => this.#ask(node, wanted, signal),
        seat: () => this.#seat(),
        connected: ({ what, pod: { target: about, node }, container }) =>
          log.info("the API server is connected to a pod", {
            what,
            ...about,
            container,
            node,
            caller: caller.name,
          }),
        failed: (error) => log.debug("a stream to a pod has failed", { error: describeError(error) }),
        clock,
      },
      request,
      { target, offer },
    );
  }

  async #findPod({ namespace, name }: KubeletTarget): Promise<JsonObject> {
    try {
      // An object of the API, which is JSON.
      return (await this.#options.kube.get<KubeObject>(resources.pods, {
        namespace,
        name,
      })) as unknown as JsonObject;
    } catch (error) {
      if (isKubeError(error, 404)) throw refusePod.notFound("pod does not exist");
      throw error;
    }
  }

  /** @throws PodRefusal (Forbidden) with the words of kubelet */
  async #authorize(
    caller: Caller,
    node: string,
    asked: { readonly method: string; readonly path: string },
  ): Promise<void> {
    if (await this.#access.mayUse(caller, node, asked)) return;
    this.#seldom.warn("refused a request for a node", { caller: caller.name, node, ...asked }, caller.name);
    throw refusePod.forbidden(`Forbidden (user=${caller.name}, node=${node}, path=${asked.path})`);
  }

  async #ask(node: string, request: PodStreamRequest, signal: AbortSignal): Promise<NodeEnd> {
    const { clock, openStream } = this.#options;
    const what = `asking node "${node}" for a stream`;
    return withDeadline(clock, { ms: answerMs, what, signal }, async (until) => {
      const stream = await openStream(node, podStreamHead(request)).catch(refuseUnavailable);
      return { stream, fromNode: await askPod(stream, until) };
    });
  }

  async #askNode(node: string, request: Request, path: string): Promise<Response> {
    const seat = this.#seat();
    let ended: Promise<unknown> = Promise.resolve();
    try {
      const headers = endToEndHeaders(request.headers).filter(([name]) => name === "accept");
      const head = { service: kubeletService, method: "GET", path, headers };
      const stream = await this.#options.openStream(node, head).catch(refuseUnavailable);
      ended = stream.closed;
      return await fetchOver(stream, null, request.signal);
    } finally {
      void ended.then(() => seat[Symbol.dispose]());
    }
  }

  /** @throws PodRefusal (TooManyRequests) when there is none */
  #seat(): Disposable {
    const { mostStreams: most = mostStreams } = this.#options;
    if (this.#open >= most)
      throw refusePod.tooMany(`${most} streams to nodes are open already, try again later`);
    this.#open += 1;
    const seat = new DisposableStack();
    seat.defer(() => (this.#open -= 1));
    return seat;
  }
}

interface PodAsked {
  readonly request: Request;
  readonly offer: UpgradeOffer | undefined;
  readonly target: KubeletTarget;
  readonly named: string | undefined;
  readonly caller: Caller;
  readonly path: string;
}

function refuseUnavailable(error: unknown): never {
  if (error instanceof UnavailableError) throw refusePod.unavailable(error.message);
  if (error instanceof RangeError) throw refusePod.badRequest("the request is too long: at most 64 KiB");
  throw error;
}

/** The server has verified the certificate; undefined when it names nobody. */
function callerOf(socket: Socket): Caller | undefined {
  // Asked for by name: a plain socket does not have it.
  const raw = (socket as Partial<TLSSocket>).getPeerCertificate?.().raw;
  if (raw === undefined) return undefined;
  try {
    const { commonName: name, organizations: groups } = subjectOfCertificate(raw);
    return name === "" ? undefined : { name, groups };
  } catch {
    return undefined;
  }
}
