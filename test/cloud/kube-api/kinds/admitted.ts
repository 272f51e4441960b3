import {
  admitCreate,
  admitUpdate,
  decodeBody,
  findKind,
  type KindInfo,
  type UpdateVia,
} from "#cloud/kube-api/kinds";
import type { ApiOutcome } from "#cloud/kube-api/status";
import type { JsonObject } from "#shared/json";

export const now = "2026-01-01T00:00:00Z";

export function kindOf(apiVersion: string, kind: string): KindInfo {
  const found = findKind(apiVersion, kind);
  if (found === undefined) throw new Error(`no ${kind}`);
  return found;
}

export function create(apiVersion: string, kind: string, body: JsonObject): ApiOutcome<JsonObject> {
  const info = kindOf(apiVersion, kind);
  const decoded = decodeBody(info, structuredClone(body), { validation: "Strict" });
  if (!decoded.ok) return decoded;
  const metadata = decoded.value.metadata as JsonObject;
  if (info.namespaced) metadata.namespace = "default";
  return admitCreate(info, decoded.value, { now });
}

export function made(apiVersion: string, kind: string, body: JsonObject): JsonObject {
  const outcome = create(apiVersion, kind, body);
  if (!outcome.ok) throw new Error(outcome.status.message);
  return outcome.value;
}

/** As `made`, saying what it is. */
export function typed(apiVersion: string, kind: string, body: JsonObject): JsonObject {
  return { apiVersion, kind, ...made(apiVersion, kind, body) };
}

export function refusal(outcome: ApiOutcome<JsonObject>): string[] {
  return outcome.ok
    ? []
    : (outcome.status.details?.causes ?? []).map(({ field, message }) => `${field}: ${message}`);
}

export const pod = (spec: JsonObject): JsonObject => ({ metadata: { name: "p" }, spec });
export const container = { name: "c", image: "busybox:1" };
export const sysctl = (name: string): JsonObject => ({ name, value: "1" });
export const sysctlText =
  "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
export const workload = (spec: JsonObject = {}): JsonObject => ({
  metadata: { name: "w" },
  spec: {
    selector: { matchLabels: { a: "b" } },
    template: { metadata: { labels: { a: "b" } }, spec: { containers: [container] } },
    ...spec,
  },
});

export function change(
  object: JsonObject,
  edit: (copy: JsonObject) => void,
  via: UpdateVia = "",
): ApiOutcome<JsonObject> {
  const info = kindOf(object.apiVersion as string, object.kind as string);
  const next = structuredClone(object);
  edit(next);
  return admitUpdate(info, { next, current: object, via });
}
