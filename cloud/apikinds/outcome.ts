import type { Status } from "#shared/kube";
import { apiVersionOf, type FieldError, type KindInfo } from "#cloud/apischema";

/** What came of a request: a value, with warnings for the client, or the Status that refuses it. */
export type Outcome<T> =
  | { readonly ok: true; readonly value: T; readonly warnings: readonly string[] }
  | { readonly ok: false; readonly status: Status };

/** Enough of a kind to name it. */
export type KindName = Pick<KindInfo, "group" | "version" | "kind">;

export function accept<T>(value: T, warnings: readonly string[] = []): Outcome<T> {
  return { ok: true, value, warnings };
}

export function refuse<T>(status: Status): Outcome<T> {
  return { ok: false, status };
}

/** A 422 with its causes: `Pod "x" is invalid: …`. */
export function invalidStatus(kind: KindName, name: string, errors: readonly FieldError[]): Status {
  const texts = [...new Set(errors.map(({ field, message }) => `${field}: ${message}`))];
  const what = kind.group === "" ? kind.kind : `${kind.kind}.${kind.group}`;
  const list = texts.length === 1 ? texts[0] : `[${texts.join(", ")}]`;
  return {
    ...failure(`${what} ${JSON.stringify(name)} is invalid: ${list}`, "Invalid", 422),
    details: {
      name,
      ...(kind.group === "" ? {} : { group: kind.group }),
      kind: kind.kind,
      causes: errors.map(({ reason, message, field }) => ({ reason, message, field })),
    },
  };
}

/** A 400 for a body that cannot be read as its kind. */
export function undecodable(kind: KindName, detail: string): Status {
  const what = `${kind.kind} in version ${JSON.stringify(kind.group === "" ? kind.version : apiVersionOf(kind))}`;
  return failure(`${what} cannot be handled as a ${kind.kind}: ${detail}`, "BadRequest", 400);
}

export function failure(message: string, reason: string, code: number): Status {
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, reason, code };
}
