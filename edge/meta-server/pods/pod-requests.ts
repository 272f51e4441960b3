import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { JsonObject } from "#shared/json";
import type { KubeObject } from "#shared/kube";
import type { Logger } from "#shared/log";
import { answerPodRequest, isPodStream, type PodStreamName } from "#shared/pod-requests";
import { askPod, PodRefusal, podStreamHead, type PodStreamRequest } from "#shared/pod-streams";
import { openLocalStream, type ByteStream } from "#shared/streams";
import type { UpgradeOffer } from "#shared/upgrades";
import { refuse, type ResourceAccess, type Target } from "#edge/meta-server/answers";

export interface PodRequestsOptions {
  readonly findPod: (namespace: string, name: string) => KubeObject | undefined;
  /** Hands a stream to what serves the pods of this node. */
  readonly serve: (stream: ByteStream) => Promise<undefined>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A request about a pod, and what its caller may do. */
export interface PodApiRequest {
  readonly target: PodRequestTarget;
  readonly request: Request;
  readonly query: URLSearchParams;
  readonly offer: UpgradeOffer | undefined;
  /** @throws RequestRefusal for what the caller may not do */
  readonly authorize: (access: ResourceAccess) => void;
  /** Who asks, for the log. */
  readonly who: string;
}

export interface PodRequestTarget {
  readonly subresource: PodStreamName;
  readonly namespace: string;
  readonly name: string;
}

/** What a path asks of a pod; undefined for anything else. */
export function podRequestTarget(target: Target | undefined): PodRequestTarget | undefined {
  const { group, version, plural, namespace, name, subresource = "" } = target ?? {};
  const isPod = group === "" && version === "v1" && plural === "pods";
  if (!isPod || namespace === undefined || name === undefined || !isPodStream(subresource)) return undefined;
  return { subresource, namespace, name };
}

/** Routes of requests that go on in another protocol. */
export const upgradablePaths = ["log", "exec", "attach", "portforward"].map(
  (name) => `/api/v1/namespaces/:namespace/pods/:name/${name}`,
);

/** Answers logs, exec, attach and port-forward of the pods of this node, with a link and without. */
export class PodRequests {
  readonly #options: PodRequestsOptions;

  constructor(options: PodRequestsOptions) {
    this.#options = options;
  }

  /** @throws RequestRefusal */
  async answer({ target, authorize, who, ...asked }: PodApiRequest): Promise<Response> {
    const { subresource, namespace, name } = target;
    const verb = subresource === "log" ? "get" : "create";
    authorize({ verb, group: "", resource: `pods/${subresource}`, namespace, name });
    const pod = this.#options.findPod(namespace, name);
    if (!pod) throw refuse.notFound(`pods ${JSON.stringify(name)} not found on this node`);
    try {
      // An object of the database, which is JSON.
      const object = pod as unknown as JsonObject;
      return await answerPodRequest(this.#parts(who), { ...asked, subresource, pod: object });
    } catch (error) {
      if (!(error instanceof PodRefusal)) throw error;
      return Response.json(error.toStatus(), { status: error.httpStatus });
    }
  }

  #parts(who: string): Parameters<typeof answerPodRequest>[0] {
    const { clock, log } = this.#options;
    return {
      ask: (_node, request, signal) => this.#ask(request, signal),
      // edged bounds what the node serves to all together.
      seat: () => new DisposableStack(),
      connected: ({ what, pod: { target }, container }) =>
        log.info("a user is connected to a pod", { user: who, what, ...target, container }),
      failed: (error) => log.debug("a stream to a pod has failed", { error: describeError(error) }),
      clock,
    };
  }

  async #ask(
    request: PodStreamRequest,
    signal: AbortSignal,
  ): Promise<{ readonly stream: ByteStream; readonly fromNode: ReadableStream<Uint8Array> }> {
    const { serve } = this.#options;
    const stream = openLocalStream(podStreamHead(request), (far) => {
      serve(far).catch((error: unknown) => far.reset(describeError(error)));
    });
    return { stream, fromNode: await askPod(stream, signal) };
  }
}
