import { isRecord } from "#shared/json";
import {
  meetsLabelExpressions,
  parseLabelSelector,
  type KubeObject,
  type LabelRequirement,
} from "#shared/kube";
import type { HeldKind } from "#edge/meta-server/objects";
import { refuse } from "./refusal.ts";

/** Which objects of a collection are meant. */
export interface Selection {
  readonly labels: readonly LabelRequirement[];
  readonly fields: readonly FieldTerm[];
}

interface FieldTerm {
  readonly path: string;
  readonly equal: boolean;
  readonly value: string;
}

/** As the API's own; other kinds have name and namespace. */
const selectable: Readonly<Record<string, readonly string[]>> = {
  pod: [
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
  ],
  node: ["spec.unschedulable"],
  secret: ["type"],
  service: ["spec.clusterIP", "spec.type"],
};
/** Fields that read as this when they are absent. */
const absent: Readonly<Record<string, string>> = {
  "spec.unschedulable": "false",
  "spec.hostNetwork": "false",
};

/** @throws RequestRefusal (400) */
export function parseSelection(kind: HeldKind, query: URLSearchParams): Selection {
  const parsed = parseLabelSelector(query.get("labelSelector") ?? "");
  if (!parsed.ok)
    throw refuse.badRequest(
      `unable to parse requirement: ${JSON.stringify(parsed.term.slice(0, 200))} is not a valid label selector requirement`,
    );
  return { labels: parsed.requirements, fields: parseFields(kind, query.get("fieldSelector") ?? "") };
}

function parseFields(kind: HeldKind, text: string): FieldTerm[] {
  const known = ["metadata.name", "metadata.namespace", ...(selectable[kind.type] ?? [])];
  return text
    .split(",")
    .filter((term) => term !== "")
    .map((term) => {
      const [, path = "", sign, value = ""] = /^([^=!]+)(==|=|!=)([^=!\\]*)$/.exec(term) ?? [];
      if (path === "") throw refuse.badRequest(`invalid selector: cannot understand ${JSON.stringify(term)}`);
      if (!known.includes(path)) throw refuse.badRequest(`field label not supported: ${path}`);
      return { path, equal: sign !== "!=", value };
    });
}

export function isSelected({ labels, fields }: Selection, object: KubeObject): boolean {
  return (
    fields.every(({ path, equal, value }) => (fieldOf(object, path) === value) === equal) &&
    meetsLabelExpressions(labels, object.metadata.labels ?? {})
  );
}

/** The one name that an equality of the selection admits. */
export function selectedName({ fields }: Selection): string | undefined {
  return fields.find(({ path, equal }) => equal && path === "metadata.name")?.value;
}

function fieldOf(object: KubeObject, path: string): string {
  let value: unknown = object;
  for (const part of path.split(".")) value = isRecord(value) ? value[part] : undefined;
  if (typeof value === "string" && value !== "") return value;
  return typeof value === "boolean" || typeof value === "number" ? String(value) : (absent[path] ?? "");
}
