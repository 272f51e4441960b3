import { KubeError } from "#cloud/kube-client";
import { asError, UnavailableError } from "#shared/errors";
import { withoutManagedFields, type KubeObject, type Status } from "#shared/kube";
import type { NodeAnswer } from "#shared/topics";

/** The request is done, and there is no object to send back. */
export const done: NodeAnswer = { ok: true };

export function objectAnswer(object: KubeObject): NodeAnswer {
  return { ok: true, object: withoutManagedFields(object) };
}

export function failureAnswer(error: unknown): NodeAnswer {
  return { ok: false, status: statusOf(error) };
}

/** A failure in the form of the API; see Kubernetes' API conventions, "Response Status Kind". */
export function nodeFailure(
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

export function nodeNotFound(kind: string, name: string): KubeError {
  return nodeFailure(404, "NotFound", `${kind} "${name}" not found`, { kind, name });
}

export function nodeForbidden(kind: string, name: string, why: string): KubeError {
  return nodeFailure(403, "Forbidden", `${kind} "${name}" is forbidden: ${why}`, { kind, name });
}

export function nodeBadRequest(message: string): KubeError {
  return nodeFailure(400, "BadRequest", message);
}

/** An API that is not available is a 503: the node tries again later. */
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
