import type { KubeObject } from "#shared/kube";
import type { JsonObject } from "#shared/json";
import { apiVersionOf, type HeldKind } from "#edge/meta-server/objects";
import { refuse } from "./refusal.ts";
import { columnDefinitions, tableRow } from "./tables.ts";

/** In which form a client wants objects: as they are, as rows of a Table, or their metadata alone. */
export type Form = "object" | "table" | "metadata";

/** The first form of an Accept header that is served. @throws RequestRefusal (406) */
export function formOf(accept: string | null): Form {
  for (const range of (accept ?? "*/*").split(",")) {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    if (!["application/json", "application/*", "*/*", ""].includes(type)) continue;
    const shape = parameters.find((parameter) => parameter.startsWith("as="))?.slice(3);
    const isV1 = !parameters.some((parameter) => /^v=(?!v1$)/.test(parameter));
    if (shape === undefined) return "object";
    if (shape === "table" && isV1) return "table";
    if (shape.startsWith("partialobjectmetadata") && isV1) return "metadata";
  }
  throw refuse.notAcceptable();
}

/** The text of one object in a form: what a watch sends and what `get` of one object answers. */
export function objectText(form: Form, kind: HeldKind, object: KubeObject, options: TextOptions): string {
  if (form === "table")
    return JSON.stringify({
      kind: "Table",
      apiVersion: "meta.k8s.io/v1",
      metadata: { resourceVersion: object.metadata.resourceVersion ?? "" },
      ...(options.columns !== false && { columnDefinitions: columnDefinitions(kind) }),
      rows: [tableRow(kind, jsonOf(object), options.nowMs)],
    });
  if (form === "metadata")
    return JSON.stringify({
      kind: "PartialObjectMetadata",
      apiVersion: "meta.k8s.io/v1",
      metadata: object.metadata,
    });
  return JSON.stringify(object);
}

export interface TextOptions {
  readonly nowMs: number;
  /** Whether a Table has its columns: those of a watch have them once. */
  readonly columns?: boolean;
}

/** What a list begins with, up to its items. */
export function listStart(form: Form, kind: HeldKind, version: string): string {
  const metadata = { resourceVersion: version };
  const head =
    form === "table"
      ? {
          kind: "Table",
          apiVersion: "meta.k8s.io/v1",
          metadata,
          columnDefinitions: columnDefinitions(kind),
        }
      : form === "metadata"
        ? { kind: "PartialObjectMetadataList", apiVersion: "meta.k8s.io/v1", metadata }
        : { kind: `${kind.kind}List`, apiVersion: apiVersionOf(kind), metadata };
  return `${JSON.stringify(head).slice(0, -1)},"${form === "table" ? "rows" : "items"}":[`;
}

/** One item of a list. */
export function itemText(form: Form, kind: HeldKind, object: KubeObject, nowMs: number): string {
  if (form === "table") return JSON.stringify(tableRow(kind, jsonOf(object), nowMs));
  return objectText(form, kind, object, { nowMs });
}

export function jsonOf(object: KubeObject): JsonObject {
  // It was parsed from JSON.
  return object as unknown as JsonObject;
}
