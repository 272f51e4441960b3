import type { User } from "#cloud/kube-api/auth";
import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import { answerPodRequest, type PodConnected, type PodRequested } from "#shared/pod-requests";
import { asRefusal, type NodeStreams } from "./node-streams.ts";

export interface PodStreamParts {
  readonly nodeStreams: NodeStreams;
  readonly clock: Clock;
  readonly log: Logger;
}

/** An authorized request about a pod. */
export interface PodStreamRequested extends PodRequested {
  readonly user: User;
  /** The name of who impersonates the user. */
  readonly by: string | undefined;
}

/** Answers a log, or has a process or ports connected. @throws Refusal as kube-apiserver and kubelet do */
export async function answerPodStream(
  { nodeStreams, clock, log }: PodStreamParts,
  asked: PodStreamRequested,
): Promise<Response> {
  const { user } = asked;
  try {
    return await answerPodRequest(
      {
        ask: (node, request, signal) => nodeStreams.ask(node, request, signal),
        seat: () => nodeStreams.seat(user),
        connected: (connection) => report(log, asked, connection),
        failed: (error) =>
          log.debug("a stream to a pod has failed", { user: user.name, error: describeError(error) }),
        clock,
      },
      asked,
    );
  } catch (error) {
    throw asRefusal(error);
  }
}

function report(
  log: Logger,
  { user, by }: PodStreamRequested,
  { what, pod, container, streams }: PodConnected,
): void {
  const { namespace, name } = pod.target;
  log.info("a user is connected to a pod", {
    user: user.name,
    ...(by !== undefined && { impersonatedBy: by }),
    what,
    namespace,
    pod: name,
    ...(container !== undefined && { container }),
    ...(streams && { stdin: streams.stdin, tty: streams.tty }),
    node: pod.node,
  });
}
