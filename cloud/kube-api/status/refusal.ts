import { AppError } from "#shared/errors";
import type { Status } from "#shared/kube";

/** What a refusal needs of a resource: `deployments.apps`. */
export interface ResourceName {
  readonly group: string;
  readonly plural: string;
}

type Cause = { reason?: string; message?: string; field?: string };

/** Thrown to answer a request with a `Status` that is not a success; texts are those of apimachinery/pkg/api/errors. */
export class Refusal extends AppError {
  readonly status: Status;

  constructor(status: Status) {
    super(`api-${(status.reason ?? "unknown").toLowerCase()}`, status.message ?? "");
    this.status = { kind: "Status", apiVersion: "v1", metadata: {}, ...status };
  }

  get httpStatus(): number {
    return this.status.code ?? 500;
  }
}

function refuse(code: number, reason: string, message: string, details?: Status["details"]): Refusal {
  return new Refusal({ status: "Failure", message, reason, ...(details && { details }), code });
}

function detailsOf(type: ResourceName, name: string): NonNullable<Status["details"]> {
  return {
    ...(name !== "" && { name }),
    ...(type.group !== "" && { group: type.group }),
    kind: type.plural,
  };
}

/** `deployments.apps`, or `pods` for the core group. */
export function qualified(type: ResourceName): string {
  return type.group === "" ? type.plural : `${type.plural}.${type.group}`;
}

export function notFound(type: ResourceName, name: string): Refusal {
  return refuse(404, "NotFound", `${qualified(type)} "${name}" not found`, detailsOf(type, name));
}

export function unknownResource(): Refusal {
  return refuse(404, "NotFound", "the server could not find the requested resource", {});
}

export function methodNotAllowed(): Refusal {
  const text = "the server does not allow this method on the requested resource";
  return refuse(405, "MethodNotAllowed", text, {});
}

export function alreadyExists(type: ResourceName, name: string): Refusal {
  const text = `${qualified(type)} "${name}" already exists`;
  return refuse(409, "AlreadyExists", text, detailsOf(type, name));
}

export function generateNameTaken(type: ResourceName, name: string): Refusal {
  const text = `${qualified(type)} "${name}" already exists, the server was not able to generate a unique name for the object`;
  return refuse(409, "AlreadyExists", text, { ...detailsOf(type, name), retryAfterSeconds: 1 });
}

export function conflict(type: ResourceName, name: string, why: string): Refusal {
  const text = `Operation cannot be fulfilled on ${qualified(type)} "${name}": ${why}`;
  return refuse(409, "Conflict", text, detailsOf(type, name));
}

export function modifiedMeanwhile(type: ResourceName, name: string): Refusal {
  const why = "the object has been modified; please apply your changes to the latest version and try again";
  return conflict(type, name, why);
}

/** Conflicts of a server-side apply. */
export function applyConflict(causes: readonly Cause[]): Refusal {
  const count = causes.length === 1 ? "1 conflict" : `${causes.length} conflicts`;
  const [first] = causes;
  const text =
    causes.length === 1
      ? `Apply failed with ${count}: ${first?.message ?? ""}: ${first?.field ?? ""}`
      : `Apply failed with ${count}: ${[...Map.groupBy(causes, (cause) => cause.message)]
          .map(([message, group]) => `${message}:\n${group.map((cause) => `- ${cause.field}`).join("\n")}`)
          .join("\n")}`;
  return refuse(409, "Conflict", text, { causes: [...causes] });
}

export function badRequest(message: string): Refusal {
  return refuse(400, "BadRequest", message);
}

export function unprocessable(
  type: ResourceName & { readonly kind: string },
  name: string,
  cause: Cause,
): Refusal {
  const where = cause.field === undefined ? "" : `${cause.field}: `;
  return refuse(422, "Invalid", `${type.kind} "${name}" is invalid: ${where}${cause.message ?? ""}`, {
    name,
    ...(type.group !== "" && { group: type.group }),
    kind: type.kind,
    causes: [cause],
  });
}

/** The server cannot process the patch itself. */
export function patchFailed(message: string): Refusal {
  return refuse(422, "Invalid", message, {});
}

export function entityTooLarge(message: string): Refusal {
  return refuse(413, "RequestEntityTooLarge", `Request entity too large: ${message}`);
}

export function unauthorized(): Refusal {
  return refuse(401, "Unauthorized", "Unauthorized");
}

export function forbidden(type: ResourceName, name: string, why: string): Refusal {
  const text = `${qualified(type)}${name === "" ? "" : ` "${name}"`} is forbidden: ${why}`;
  return refuse(403, "Forbidden", text, detailsOf(type, name));
}

export function forbiddenPath(why: string): Refusal {
  return refuse(403, "Forbidden", `forbidden: ${why}`, {});
}

export function namespaceTerminating(type: ResourceName, name: string, namespace: string): Refusal {
  const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
  const causes = [
    {
      reason: "NamespaceTerminating",
      message: `namespace ${namespace} is being terminated`,
      field: "metadata.namespace",
    },
  ];
  const { status } = forbidden(type, name, why);
  return new Refusal({ ...status, details: { ...status.details, causes } });
}

export function unsupportedMediaType(accepted: readonly string[]): Refusal {
  const text = `the body of the request was in an unknown format - accepted media types include: ${accepted.join(", ")}`;
  return refuse(415, "UnsupportedMediaType", text);
}

export function notAcceptable(accepted: readonly string[]): Refusal {
  const text = `only the following media types are accepted: ${accepted.join(", ")}`;
  return notAcceptableForm(text);
}

export function notAcceptableForm(message: string): Refusal {
  return refuse(406, "NotAcceptable", message);
}

export function expired(message: string): Refusal {
  return refuse(410, "Expired", message);
}

export function tooLarge(limitBytes: number): Refusal {
  const text = `Request entity too large: limit is ${limitBytes}`;
  return refuse(413, "RequestEntityTooLarge", text);
}

/**
 * An eviction that a budget does not allow; by the cause clients know that it may be allowed later. Without a time clients do
 * not repeat the request by themselves, which client-go does ten times.
 */
export function disruptionRefused(message: string, why: string, retryAfterSeconds?: number): Refusal {
  const causes = [{ reason: "DisruptionBudget", message: why }];
  const retry = retryAfterSeconds === undefined ? {} : { retryAfterSeconds };
  return refuse(429, "TooManyRequests", message, { causes, ...retry });
}

/** Too many requests in flight, as kube-apiserver answers; clients retry after a second. */
export function overloaded(): Refusal {
  const text = "Too many requests, please try again later.";
  return refuse(429, "TooManyRequests", text, { retryAfterSeconds: 1 });
}

/** The body of a request did not arrive in time. */
export function requestTimeout(seconds: number): Refusal {
  const text = `Timeout: request did not complete within requested timeout ${seconds}s: its body was not received`;
  return refuse(504, "Timeout", text, {});
}

export function internalError(message: string): Refusal {
  const text = `Internal error occurred: ${message}`;
  return refuse(500, "InternalError", text, { causes: [{ message }] });
}

/** A revision that does not exist yet; by the cause clients know that they have to list again. */
export function revisionTooLarge(revision: number, newest: number): Refusal {
  const text = `Timeout: Too large resource version: ${revision}, current: ${newest}`;
  const causes = [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }];
  return refuse(504, "Timeout", text, { causes, retryAfterSeconds: 1 });
}

/** What kube-apiserver answers for errors that it does not classify: 500 without a reason. */
export function unknown(message: string): Refusal {
  return new Refusal({ status: "Failure", message, code: 500 });
}

const reasons: Readonly<Record<number, string>> = {
  400: "BadRequest",
  404: "NotFound",
  409: "Conflict",
  429: "TooManyRequests",
  503: "ServiceUnavailable",
  504: "Timeout",
};

/** A refusal of an extra resource; without Retry-After, at which clients would retry on their own. */
export function ofCode(code: number, message: string): Refusal {
  return refuse(code, reasons[code] ?? "InternalError", message, {});
}

export function serviceUnavailable(message: string): Refusal {
  return refuse(503, "ServiceUnavailable", message, { retryAfterSeconds: 1 });
}
