import { AppError } from "#shared/errors";
import type { Status } from "#shared/kube";

/** Why a node does not serve a stream to a pod, or the cloud cannot ask it: an HTTP status and a reason of Kubernetes. */
export class PodRefusal extends AppError {
  readonly httpStatus: number;
  /** as `metav1.StatusReason` */
  readonly reason: string;

  readonly details: Status["details"];

  constructor(httpStatus: number, reason: string, message: string, details?: Status["details"]) {
    super("pod-refusal", message);
    this.httpStatus = httpStatus;
    this.reason = reason;
    this.details = details;
  }

  toStatus(): Status {
    const { httpStatus: code, reason, message, details } = this;
    const status = { apiVersion: "v1", kind: "Status", metadata: {}, status: "Failure" } as const;
    return { ...status, message, reason, code, ...(details && { details }) };
  }
}

/** Refusals as kubelet has them. */
export const refusePod = {
  badRequest: (message: string): PodRefusal => new PodRefusal(400, "BadRequest", message),
  forbidden: (message: string): PodRefusal => new PodRefusal(403, "Forbidden", message),
  notFound: (message: string): PodRefusal => new PodRefusal(404, "NotFound", message),
  tooMany: (message: string): PodRefusal => new PodRefusal(429, "TooManyRequests", message),
  internal: (message: string): PodRefusal =>
    new PodRefusal(500, "InternalError", `Internal error occurred: ${message}`),
  unavailable: (message: string): PodRefusal => new PodRefusal(503, "ServiceUnavailable", message),
  /** The node is not connected, or the link was lost. */
  timeout: (message: string): PodRefusal => new PodRefusal(504, "Timeout", message),
} as const;
