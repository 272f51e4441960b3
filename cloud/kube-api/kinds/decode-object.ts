import { pruneObject } from "#cloud/kube-api/custom-resources";
import {
  decodeInto,
  decodeMetadata,
  definitionName,
  shapeProblems,
  type DecodedFields,
  type KindInfo,
} from "#cloud/kube-api/schema";
import {
  accept,
  failureStatus,
  refuse,
  undecodable,
  type KindName,
  type ApiOutcome,
} from "#cloud/kube-api/status";
import { asText, isObject, metadataOf, nestsDeeper, type Json, type JsonObject } from "#shared/json";
import { apiVersionOf } from "#shared/kube";

export type FieldValidation = "Strict" | "Warn" | "Ignore";

export interface DecodeOptions {
  readonly validation: FieldValidation;
  /** A text for each field that the text of the body has more than once. */
  readonly duplicates?: readonly string[];
}

/** Unknown fields that are named: a client reads the first few, and a body of megabytes has a hundred thousand. */
const mostUnknown = 100;
/** No kind nests deeper than a few dozen levels; the recursive walks below would run out of stack at some ten thousand. */
const deepest = 1000;

type NamedKind = KindName & Partial<Pick<KindInfo, "custom">>;

/**
 * Brings a parsed body into the form of its kind, in place: types are checked, unknown fields are dropped (Warn returns
 * warnings, Strict refuses them; KEP-2885), times and quantities become canonical, empty optional lists and maps are omitted.
 */
export function decodeBody(kind: NamedKind, body: Json, options: DecodeOptions): ApiOutcome<JsonObject> {
  const { validation, duplicates = [] } = options;
  const fields = decodeFields(kind, body);
  if (!fields.ok) return fields;
  const { object, unknown } = fields.value;
  const texts = [...unknown.map((path) => `unknown field ${JSON.stringify(path)}`), ...duplicates];
  if (validation === "Strict" && texts.length > 0)
    return refuse(undecodable(kind, `strict decoding error: ${texts.join(", ")}`));
  return accept(object, validation === "Warn" ? texts : []);
}

/** The same for the body of a server-side apply, whose fields have to be of the schema, however they are validated otherwise. */
export function decodeApplied(kind: NamedKind, body: Json, options: DecodeOptions): ApiOutcome<JsonObject> {
  const { validation, duplicates = [] } = options;
  if (validation === "Strict" && duplicates.length > 0) {
    const text = `error decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  ${duplicates.join("\n  ")}`;
    return refuse(failureStatus(text, "BadRequest", 400));
  }
  const fields = decodeFields(kind, body);
  if (!fields.ok) return fields;
  const { object, unknown } = fields.value;
  const undeclared = unknown.map((path) => `.${path}: field not declared in schema`);
  const texts = [...undeclared, ...shapeProblems(kind, object)];
  if (texts.length === 0) return accept(object, validation === "Warn" ? duplicates : []);
  const list = texts.length === 1 ? texts[0] : `errors:\n  ${texts.join("\n  ")}`;
  const metadata = metadataOf(object);
  const what = `${asText(metadata["namespace"])}/${asText(metadata["name"])}; ${apiVersionOf(kind)}, Kind=${kind.kind}`;
  return refuse(failureStatus(`failed to create typed patch object (${what}): ${list}`, "BadRequest", 400));
}

function decodeFields(
  kind: NamedKind,
  body: Json,
): ApiOutcome<{ readonly object: JsonObject; readonly unknown: readonly string[] }> {
  if (!isObject(body))
    return refuse(
      undecodable(kind, `json: cannot unmarshal ${wordOf(body)} into Go value of type v1.${kind.kind}`),
    );
  if (nestsDeeper(body, deepest)) return refuse(undecodable(kind, "json: exceeded max depth"));
  const { unknown, error } =
    kind.custom === undefined ? decodeInto(definitionName(kind), body) : decodeCustom(kind, body);
  if (error !== undefined) return refuse(undecodable(kind, error));
  return accept({ object: body, unknown: unknown.slice(0, mostUnknown) });
}

function decodeCustom(kind: NamedKind, body: JsonObject): DecodedFields {
  const metadata = decodeMetadata(body, kind.kind);
  const { custom } = kind;
  if (metadata.error !== undefined || custom === undefined || custom.preserveUnknownFields) return metadata;
  return { unknown: [...metadata.unknown, ...pruneObject(custom.schema, body).unknown] };
}

function wordOf(body: Json): string {
  if (body === null) return "null";
  if (Array.isArray(body)) return "array";
  return typeof body === "boolean" ? "bool" : typeof body;
}
