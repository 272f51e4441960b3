import {
  desiredRequests,
  encodeRequest,
  leaseRequests,
  memberRequests,
  mirrorRequests,
  nodeRequests,
  objectRequests,
  podRequests,
  podTokenRequests,
  targetRequests,
  type RequestCodec,
  type Stamp,
} from "#edge/edge-hub/codec";
import type { CloudTrust } from "#edge/edge-hub/trust";
import type { AskOptions } from "#shared/bus";
import { UnavailableError } from "#shared/errors";
import type { RequestDeadline } from "#shared/topics";
import type { PendingRequests } from "./pending-requests.ts";
import type { EdgeHubPort } from "./port.ts";

export interface RequestParts {
  readonly port: EdgeHubPort;
  readonly requests: PendingRequests;
  readonly trust: Pick<CloudTrust, "isHeld">;
  readonly stamp: Stamp;
  /** Whether there is a link to a cloud that is not ours, and takes no more than KubeEdge's nodes send. */
  readonly isForeign: () => boolean;
}

/** Answers the modules' requests with what the cloud answers. */
export function serveRequests({ port, requests, trust, stamp, isForeign }: RequestParts): Disposable {
  const answer =
    <Request extends RequestDeadline, Reply>(codec: RequestCodec<Request, Reply>) =>
    async (request: Request, { signal }: AskOptions): Promise<Reply> => {
      const outgoing = encodeRequest(codec, stamp, request);
      // A node reports even to a cloud it does not accept that it is there and how it is.
      if (trust.isHeld && !outgoing.isAboutNode)
        throw new UnavailableError(
          "cloud-held",
          `Cannot ask the cloud for "${outgoing.subject}": its database is not the one this node belongs to`,
        );
      const { timeoutMs } = request;
      return codec.decode(await requests.ask(outgoing, { timeoutMs, signal }), request);
    };
  const stack = new DisposableStack();
  stack.use(port.answer("cloud.object", answer(objectRequests)));
  stack.use(port.answer("cloud.pod", answer(podRequests)));
  stack.use(port.answer("cloud.mirror", answer(mirrorRequests)));
  stack.use(port.answer("cloud.token", answer(podTokenRequests)));
  stack.use(port.answer("cloud.node", answer(nodeRequests)));
  stack.use(port.answer("cloud.lease", answer(leaseRequests)));
  const desire = answer(desiredRequests);
  stack.use(
    port.answer("cloud.desired", async (request, options) =>
      isForeign() ? { failure: notTaken } : desire(request, options),
    ),
  );
  stack.use(port.answer("cloud.members", answer(memberRequests)));
  stack.use(port.answer("cloud.target", answer(targetRequests)));
  return stack;
}

const notTaken = {
  status: "Failure",
  code: 501,
  reason: "NotImplemented",
  message: "this cloud takes no desired values from nodes",
} as const;
