import type { FieldError, KindInfo } from "#cloud/kube-api/schema";
import type { Status } from "#shared/kube";

/** A value with warnings for the client, or the Status that refuses the request. */
export type ApiOutcome<T> =
  | { readonly ok: true; readonly value: T; readonly warnings: readonly string[] }
  | { readonly ok: false; readonly status: Status };

/** What a message needs of a kind. */
export type KindName = Pick<KindInfo, "group" | "version" | "kind">;

/** An outcome with a value. */
export function accept<T>(value: T, warnings: readonly string[] = []): ApiOutcome<T> {
  return { ok: true, value, warnings };
}

/** An outcome without one. */
export function refuse<T>(status: Status): ApiOutcome<T> {
  return { ok: false, status };
}

/** Causes of an answer: a small body can have a hundred thousand errors. */
const mostCauses = 100;
/** Characters of a refused name in an answer. */
const longestName = 1024;

/** A 422 with its causes: `Pod "x" is invalid: …`. */
export function invalidStatus(kind: KindName, name: string, errors: readonly FieldError[]): Status {
  const causes = errors.slice(0, mostCauses);
  const texts = [...new Set(causes.map(({ field, message }) => `${field}: ${message}`))];
  if (errors.length > mostCauses) texts.push(`and ${errors.length - mostCauses} more`);
  const what = kind.group === "" ? kind.kind : `${kind.kind}.${kind.group}`;
  const list = texts.length === 1 ? texts[0] : `[${texts.join(", ")}]`;
  const shown = name.slice(0, longestName);
  return {
    ...failureStatus(`${what} ${JSON.stringify(shown)} is invalid: ${list}`, "Invalid", 422),
    details: {
      name: shown,
      ...(kind.group === "" ? {} : { group: kind.group }),
      kind: kind.kind,
      causes: causes.map(({ reason, message, field }) => ({ reason, message, field })),
    },
  };
}

/** A 400 for a body that cannot be read as its kind; without the group, as `transformDecodeError` of kube-apiserver. */
export function undecodable(kind: KindName, detail: string): Status {
  const text = `${kind.kind} in version ${JSON.stringify(kind.version)} cannot be handled as a ${kind.kind}: ${detail}`;
  return failureStatus(text, "BadRequest", 400);
}

/** A Status with a code and reason of the API conventions. */
export function failureStatus(message: string, reason: string, code: number): Status {
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, reason, code };
}

/** A 403 for an object that a rule of admission forbids. */
export function forbiddenStatus(
  { group, plural }: { readonly group: string; readonly plural: string },
  name: string,
  why: string,
): Status {
  const what = group === "" ? plural : `${plural}.${group}`;
  const message = `${what} ${JSON.stringify(name)} is forbidden: ${why}`;
  const details = { name, ...(group !== "" && { group }), kind: plural };
  return { ...failureStatus(message, "Forbidden", 403), details };
}
