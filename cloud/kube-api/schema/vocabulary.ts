import type { JsonObject } from "#shared/json";

/** A kind the API serves, builtin or from a CustomResourceDefinition. */
export interface KindInfo {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly listKind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly namespaced: boolean;
  readonly categories: readonly string[];
  readonly verbs: readonly string[];
  readonly subresources: readonly SubresourceInfo[];
  /** False for kinds that are only answered, never kept (reviews). */
  readonly stored: boolean;
  /** The kind of another group or version that objects are stored as; absent: its own. */
  readonly storedAs?: KindInfo;
  /** Set for kinds defined by a CustomResourceDefinition. */
  readonly custom?: CustomKind;
}

export interface SubresourceInfo {
  /** `status`, `scale`, `binding`, `eviction`, `token`, `log`, `exec` … */
  readonly name: string;
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly verbs: readonly string[];
}

/** What a CustomResourceDefinition's version adds to a kind. */
export interface CustomKind {
  readonly crdName: string;
  readonly storageVersion: string;
  readonly schema: JsonObject;
  /** Of every version, whether it is served or not: objects of all of them may be stored. */
  readonly schemas: ReadonlyMap<string, JsonObject>;
  /** Absent: the versions differ in their name alone. */
  readonly conversion?: ConversionWebhook;
  /** `spec.preserveUnknownFields` of the definition. */
  readonly preserveUnknownFields: boolean;
  readonly columns: readonly PrinterColumn[];
  /** Fields that field selectors may name besides those of metadata, such as `spec.size`. */
  readonly selectable: readonly string[];
  readonly status: boolean;
  readonly scale?: { specReplicasPath: string; statusReplicasPath: string; labelSelectorPath?: string };
  readonly deprecationWarning?: string;
}

/** Who converts objects of a definition between its versions. */
export interface ConversionWebhook {
  /** The same while the definition asks for the same. */
  readonly id: string;
  readonly client: JsonObject;
  readonly reviewVersions: readonly string[];
}

export interface PrinterColumn {
  readonly name: string;
  readonly type: string;
  readonly format?: string;
  readonly description?: string;
  readonly priority?: number;
  readonly jsonPath: string;
}

export type ErrorType =
  | "FieldValueRequired"
  | "FieldValueInvalid"
  | "FieldValueNotSupported"
  | "FieldValueDuplicate"
  | "FieldValueForbidden"
  | "FieldValueNotFound"
  | "FieldValueTooLong"
  | "FieldValueTooMany"
  | "FieldValueTypeInvalid"
  | "InternalError";

/** One cause of an Invalid answer; `message` lacks the field path. */
export interface FieldError {
  readonly reason: ErrorType;
  readonly field: string;
  readonly message: string;
}

/** Subresource an update came through; empty for the object itself. */
export type UpdateVia = "" | "status" | "scale" | "binding" | "approval" | "ephemeralcontainers" | "resize";
