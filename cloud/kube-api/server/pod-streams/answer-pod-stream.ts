import type { User } from "#cloud/kube-api/auth";
import { refusals } from "#cloud/kube-api/status";
import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { JsonObject } from "#shared/json";
import type { Logger } from "#shared/log";
import { refusePod } from "#shared/pod-streams";
import {
  forwardProtocolOf,
  processProtocolOf,
  runProcess,
  type NodeEnd,
  type ProcessStreams,
} from "#shared/remote-command";
import type { UpgradeOffer } from "#shared/upgrades";
import { asRefusal, type NodeStreams } from "./node-streams.ts";
import { containerOf, hostOf, podOf, type ChosenPod } from "./pod-choice.ts";
import { isPort, readLogOptions, readPorts, readProcessStreams } from "./stream-options.ts";

export interface PodStreamParts {
  readonly nodeStreams: NodeStreams;
  readonly clock: Clock;
  readonly log: Logger;
}

/** An authorized request about a pod. */
export interface PodStreamRequested {
  readonly subresource: PodStreamName;
  readonly pod: JsonObject;
  readonly request: Request;
  readonly query: URLSearchParams;
  readonly user: User;
  /** The name of who impersonates the user. */
  readonly by: string | undefined;
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

/** Answers a log, or has a process or ports connected. @throws Refusal as kube-apiserver and kubelet do */
export async function answerPodStream(parts: PodStreamParts, asked: PodStreamRequested): Promise<Response> {
  const pod = podOf(asked.pod);
  try {
    switch (asked.subresource) {
      case "log":
        return await answerLog(parts, asked, pod);
      case "portforward":
        return await forwardPorts(parts, asked, pod);
      case "exec":
      case "attach":
        return await connectProcess(parts, { ...asked, subresource: asked.subresource }, pod);
    }
  } catch (error) {
    throw asRefusal(error);
  }
}

async function answerLog(
  { nodeStreams }: PodStreamParts,
  { query, request, user }: PodStreamRequested,
  pod: ChosenPod,
): Promise<Response> {
  const options = readLogOptions(query, pod.target.name);
  const container = containerOf(pod, query.get("container") ?? "");
  const headers = { "Content-Type": "text/plain" };
  // There is no log before there is a node, and no error either.
  if (pod.node === "") return new Response("", { headers });
  const seat = nodeStreams.seat(user);
  try {
    const wanted = { kind: "logs", ...pod.target, container, ...options } as const;
    const { stream, fromNode } = await nodeStreams.ask(pod.node, wanted, request.signal);
    void stream.closed.then(() => seat[Symbol.dispose]());
    void stream.writable.close().catch(() => undefined);
    return new Response(fromNode, { headers });
  } catch (error) {
    seat[Symbol.dispose]();
    throw error;
  }
}

async function connectProcess(
  parts: PodStreamParts,
  asked: PodStreamRequested & { readonly subresource: "exec" | "attach" },
  pod: ChosenPod,
): Promise<Response> {
  const { query, request, subresource: kind } = asked;
  const container = containerOf(pod, query.get("container") ?? "");
  const node = hostOf(pod);
  const offer = requireOffer(asked);
  const streams = readProcessStreams(query);
  const command = query.getAll("command");
  if (kind === "exec" && command.length === 0)
    throw refusals.badRequest("you must specify at least one command for the container");
  const accept = processProtocolOf(offer, request.headers, { streams, clock: parts.clock });
  if (typeof accept !== "function") throw refusePod.forbidden(accept.refusal);
  const target = { ...pod.target, container, ...streams };
  const wanted = kind === "exec" ? { kind, ...target, command } : { kind, ...target };
  await hold(parts, asked, async (signal) => {
    const end = await parts.nodeStreams.ask(node, wanted, signal);
    report(parts, asked, { pod, container, streams });
    return { run: async () => runProcess(await accept(), end), end };
  });
  return taken();
}

async function forwardPorts(
  parts: PodStreamParts,
  asked: PodStreamRequested,
  pod: ChosenPod,
): Promise<Response> {
  const node = hostOf(pod);
  const offer = requireOffer(asked);
  const ports = readPorts(asked.query);
  const accept = forwardProtocolOf(offer, asked.request.headers, parts.clock);
  if (typeof accept !== "function") throw refusePod.forbidden(accept.refusal);
  const never = new AbortController().signal;
  const connect = async (port: number): Promise<NodeEnd> => {
    if (!isPort(port)) throw refusePod.badRequest(`"${port}" is not a port`);
    return parts.nodeStreams.ask(node, { kind: "port-forward", ...pod.target, port }, never);
  };
  await hold(parts, asked, async () => {
    report(parts, asked, { pod });
    return { run: () => accept(ports, connect) };
  });
  return taken();
}

/** Opens something within the limits of the user, and lets it run. @throws what `open` throws */
async function hold(
  { nodeStreams, log }: PodStreamParts,
  { user, offer }: PodStreamRequested,
  open: (signal: AbortSignal) => Promise<{ readonly run: () => Promise<void>; readonly end?: NodeEnd }>,
): Promise<void> {
  const seat = nodeStreams.seat(user);
  const left = new AbortController();
  void offer?.left.then(() => left.abort());
  try {
    const { run, end } = await open(left.signal);
    void run()
      .catch((error: unknown) => {
        end?.stream.reset(describeError(error));
        log.debug("a stream to a pod has failed", { user: user.name, error: describeError(error) });
      })
      .finally(() => seat[Symbol.dispose]());
  } catch (error) {
    seat[Symbol.dispose]();
    throw error;
  }
}

/** @throws Refusal (BadRequest) */
function requireOffer({ offer }: PodStreamRequested): UpgradeOffer {
  if (!offer) throw refusals.badRequest("Upgrade request required");
  return offer;
}

/** Who reached into a pod; the command may contain secrets. */
function report(
  { log }: PodStreamParts,
  { user, by, subresource }: PodStreamRequested,
  {
    pod,
    container,
    streams,
  }: { readonly pod: ChosenPod; readonly container?: string; readonly streams?: ProcessStreams },
): void {
  const { namespace, name } = pod.target;
  log.info("a user is connected to a pod", {
    user: user.name,
    ...(by !== undefined && { impersonatedBy: by }),
    what: subresource,
    namespace,
    pod: name,
    ...(container !== undefined && { container }),
    ...(streams && { stdin: streams.stdin, tty: streams.tty }),
    node: pod.node,
  });
}
