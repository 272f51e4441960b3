import type { ServiceReply } from "#shared/topics";

/** Why the node itself answers, and no server on it. */
export type FailureReason =
  | "bad-request"
  | "port-not-allowed"
  | "body-too-large"
  | "connection-refused"
  | "connection-failed"
  | "response-too-large"
  | "busy"
  | "disabled"
  | "timeout";

const statuses: Readonly<Record<FailureReason, number>> = {
  "bad-request": 400,
  "port-not-allowed": 403,
  "body-too-large": 413,
  "connection-refused": 502,
  "connection-failed": 502,
  "response-too-large": 502,
  busy: 503,
  disabled: 503,
  timeout: 504,
};

/** Names the reason in answers of the node, which sets them apart from those of its servers. */
const failureHeader = "kubeedge-error";

/** An answer of the node: JSON with the reason and a sentence. */
export class ServiceFailure extends Error {
  readonly reason: FailureReason;

  constructor(reason: FailureReason, message: string) {
    super(message);
    this.reason = reason;
  }

  toReply(): ServiceReply {
    const { reason, message } = this;
    const body = new TextEncoder().encode(`${JSON.stringify({ error: message, reason })}\n`);
    return {
      status: statuses[reason],
      headers: [
        ["content-type", "application/json"],
        [failureHeader, reason],
        ["content-length", String(body.length)],
      ],
      body,
    };
  }

  toResponse(): Response {
    const { status, headers, body } = this.toReply();
    return new Response(Buffer.from(body), { status, headers: new Headers(headers.map((one) => [...one])) });
  }
}
