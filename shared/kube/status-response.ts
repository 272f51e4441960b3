import type { Status } from "./meta.ts";

export interface FailureOptions {
  readonly code: number;
  /** as Kubernetes' `metav1.StatusReason` */
  readonly reason: string;
  readonly message: string;
  readonly retryAfterSeconds?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A refusal as every client of Kubernetes reads it. */
export function failureResponse({
  code,
  reason,
  message,
  retryAfterSeconds,
  headers,
}: FailureOptions): Response {
  const status: Status = {
    apiVersion: "v1",
    kind: "Status",
    metadata: {},
    status: "Failure",
    message,
    reason,
    code,
    ...(retryAfterSeconds !== undefined && { details: { retryAfterSeconds } }),
  };
  return Response.json(status, {
    status: code,
    headers: {
      ...headers,
      ...(retryAfterSeconds !== undefined && { "Retry-After": String(retryAfterSeconds) }),
    },
  });
}
