import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { JsonObject } from "#shared/json";
import { refusePod, type PodStreamRequest } from "#shared/pod-streams";
import {
  forwardProtocolOf,
  logProtocolOf,
  processProtocolOf,
  runProcess,
  type NodeEnd,
  type ProcessStreams,
} from "#shared/remote-command";
import type { UpgradeOffer } from "#shared/upgrades";
import { containerOf, hostOf, podOf, type ChosenPod } from "./choice.ts";
import { isPort, readLogOptions, readPorts, readProcessStreams } from "./options.ts";

/** What the server of a request about a pod brings. */
export interface PodRequestParts {
  /** Resolves when the node serves the request. @throws PodRefusal with the reason of the node, or why it cannot be asked */
  readonly ask: (node: string, request: PodStreamRequest, signal: AbortSignal) => Promise<NodeEnd>;
  /** A place for what the user has open. Throws when there is none. */
  readonly seat: () => Disposable;
  /** The user is connected to a process or to ports. */
  readonly connected: (connection: PodConnected) => void;
  /** Something that was open has failed. */
  readonly failed: (error: unknown) => void;
  readonly clock: Clock;
}

/** What a user is connected to; the command may contain secrets. */
export interface PodConnected {
  readonly what: PodStreamName;
  readonly pod: ChosenPod;
  readonly container?: string;
  readonly streams?: ProcessStreams;
}

/** An authorized request about a pod. */
export interface PodRequested {
  readonly subresource: PodStreamName;
  readonly pod: JsonObject;
  readonly request: Request;
  readonly query: URLSearchParams;
  /** Set when the client asks for another protocol. */
  readonly offer: UpgradeOffer | undefined;
}

const names = ["log", "exec", "attach", "portforward"] as const;
export type PodStreamName = (typeof names)[number];

export function isPodStream(subresource: string): subresource is PodStreamName {
  return names.some((name) => name === subresource);
}

/** The answer of a request whose connection has another protocol by now: nobody sends it. */
const taken = (): Response => new Response(null, { status: 204 });

/** Answers a log, or has a process or ports connected. @throws PodRefusal as kube-apiserver and kubelet do */
export async function answerPodRequest(parts: PodRequestParts, asked: PodRequested): Promise<Response> {
  const pod = podOf(asked.pod);
  switch (asked.subresource) {
    case "log":
      return answerLog(parts, asked, pod);
    case "portforward":
      return forwardPorts(parts, asked, pod);
    case "exec":
    case "attach":
      return connectProcess(parts, { ...asked, subresource: asked.subresource }, pod);
  }
}

async function answerLog(
  { ask, seat: take }: PodRequestParts,
  { query, request, offer }: PodRequested,
  pod: ChosenPod,
): Promise<Response> {
  const accept = logProtocolOf(offer);
  if (accept && typeof accept !== "function") throw refusePod.forbidden(accept.refusal);
  const options = readLogOptions(query, pod.target.name);
  const container = containerOf(pod, query.get("container") ?? "");
  const answer = (log: ReadableStream<Uint8Array> | null): Response => {
    if (!accept) return new Response(log, { headers: { "Content-Type": "text/plain" } });
    void accept(log ?? new Blob().stream());
    return taken();
  };
  // There is no log before there is a node, and no error either.
  if (pod.node === "") return answer(null);
  const seat = take();
  try {
    const wanted = { kind: "logs", ...pod.target, container, ...options } as const;
    const { stream, fromNode } = await ask(pod.node, wanted, request.signal);
    void stream.closed.then(() => seat[Symbol.dispose]());
    void stream.writable.close().catch(() => undefined);
    return answer(fromNode);
  } catch (error) {
    seat[Symbol.dispose]();
    throw error;
  }
}

async function connectProcess(
  parts: PodRequestParts,
  asked: PodRequested & { readonly subresource: "exec" | "attach" },
  pod: ChosenPod,
): Promise<Response> {
  const { query, request, subresource: kind } = asked;
  const container = containerOf(pod, query.get("container") ?? "");
  const node = hostOf(pod);
  const offer = requireOffer(asked);
  const streams = readProcessStreams(query);
  const command = query.getAll("command");
  if (kind === "exec" && command.length === 0)
    throw refusePod.badRequest("you must specify at least one command for the container");
  const accept = processProtocolOf(offer, request.headers, { streams, clock: parts.clock });
  if (typeof accept !== "function") throw refusePod.forbidden(accept.refusal);
  const target = { ...pod.target, container, ...streams };
  const wanted = kind === "exec" ? { kind, ...target, command } : { kind, ...target };
  await hold(parts, asked, async (signal) => {
    const end = await parts.ask(node, wanted, signal);
    parts.connected({ what: kind, pod, container, streams });
    return { run: async () => runProcess(await accept(), end), end };
  });
  return taken();
}

async function forwardPorts(parts: PodRequestParts, asked: PodRequested, pod: ChosenPod): Promise<Response> {
  const node = hostOf(pod);
  const offer = requireOffer(asked);
  const ports = readPorts(asked.query);
  const accept = forwardProtocolOf(offer, asked.request.headers, parts.clock);
  if (typeof accept !== "function") throw refusePod.forbidden(accept.refusal);
  const never = new AbortController().signal;
  const connect = async (port: number): Promise<NodeEnd> => {
    if (!isPort(port)) throw refusePod.badRequest(`"${port}" is not a port`);
    return parts.ask(node, { kind: "port-forward", ...pod.target, port }, never);
  };
  await hold(parts, asked, async () => {
    parts.connected({ what: "portforward", pod });
    return { run: () => accept(ports, connect) };
  });
  return taken();
}

/** Opens something within the limits of the user, and lets it run. @throws what `open` throws */
async function hold(
  { seat: take, failed }: PodRequestParts,
  { offer }: PodRequested,
  open: (signal: AbortSignal) => Promise<{ readonly run: () => Promise<void>; readonly end?: NodeEnd }>,
): Promise<void> {
  const seat = take();
  const left = new AbortController();
  void offer?.left.then(() => left.abort());
  try {
    const { run, end } = await open(left.signal);
    void run()
      .catch((error: unknown) => {
        end?.stream.reset(describeError(error));
        failed(error);
      })
      .finally(() => seat[Symbol.dispose]());
  } catch (error) {
    seat[Symbol.dispose]();
    throw error;
  }
}

/** @throws PodRefusal (BadRequest) */
function requireOffer({ offer }: PodRequested): UpgradeOffer {
  if (!offer) throw refusePod.badRequest("Upgrade request required");
  return offer;
}
