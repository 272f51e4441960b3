import { KubeError } from "#cloud/kube-client";
import { asError, UnavailableError } from "#shared/errors";
import type { KubeObject, Status } from "#shared/kube";
import { ok } from "#shared/wire";
import { onWire } from "./edge-object.ts";

/** What goes back to the node. */
export interface Answer {
  readonly content: unknown;
  readonly resourceVersion?: string | undefined;
}

/** How a question of a node is answered: the object as it is, object and error side by side, or "OK". */
export type AnswerForm = "raw" | "object-resp" | "ok";

export const done: Answer = { content: ok };

export function answerObject(form: AnswerForm, object: KubeObject): Answer {
  const sent = onWire(object);
  const { resourceVersion } = object.metadata;
  return form === "raw"
    ? { content: sent, resourceVersion }
    : { content: { Object: sent, Err: null }, resourceVersion };
}

export function answerFailure(form: AnswerForm, error: unknown): Answer {
  const failure = { ErrStatus: statusOf(error) };
  if (form !== "object-resp") return { content: failure };
  return { content: { Object: { metadata: { creationTimestamp: null } }, Err: failure } };
}

export function refusal(
  httpStatus: number,
  reason: string,
  message: string,
  details?: { readonly kind: string; readonly name: string },
): KubeError {
  return new KubeError(httpStatus, reason, message, {
    status: "Failure",
    message,
    reason,
    code: httpStatus,
    ...(details ? { details } : {}),
  });
}

export function notFound(kind: string, name: string): KubeError {
  return refusal(404, "NotFound", `${kind} "${name}" not found`, { kind, name });
}

export function forbidden(kind: string, name: string, why: string): KubeError {
  return refusal(403, "Forbidden", `${kind} "${name}" is forbidden: ${why}`, { kind, name });
}

export function badRequest(message: string): KubeError {
  return refusal(400, "BadRequest", message);
}

export function isKubeError(error: unknown, httpStatus: number): boolean {
  return error instanceof KubeError && error.httpStatus === httpStatus;
}

/** An API that is away is a 503: the node tries again later. */
function statusOf(error: unknown): Status {
  const base = { metadata: {}, status: "Failure" } as const;
  if (error instanceof KubeError) {
    const { message, reason, httpStatus: code, status } = error;
    return { ...base, message, reason, code, ...status };
  }
  const { message } = asError(error);
  if (error instanceof UnavailableError) return { ...base, message, reason: "ServiceUnavailable", code: 503 };
  return { ...base, message: "internal error", reason: "InternalError", code: 500 };
}
