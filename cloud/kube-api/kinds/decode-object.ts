import { pruneObject } from "#cloud/kube-api/custom-resources";
import {
  decodeInto,
  decodeMetadata,
  definitionName,
  type DecodedFields,
  type KindInfo,
} from "#cloud/kube-api/schema";
import { accept, refuse, undecodable, type KindName, type ApiOutcome } from "#cloud/kube-api/status";
import { isObject, nestsDeeper, type Json, type JsonObject } from "#shared/json";

export type FieldValidation = "Strict" | "Warn" | "Ignore";

/** Unknown fields that are named: a client reads the first few, and a body of megabytes has a hundred thousand. */
const mostUnknown = 100;
/** No kind nests deeper than a few dozen levels; the recursive walks below would run out of stack at some ten thousand. */
const deepest = 1000;

/**
 * Brings a parsed body into the form of its kind, in place: types are checked, unknown fields are dropped (Warn returns
 * warnings, Strict refuses them; KEP-2885), times and quantities become canonical, empty optional lists and maps are omitted.
 */
export function decodeBody(
  kind: KindName & Partial<Pick<KindInfo, "custom">>,
  body: Json,
  validation: FieldValidation,
): ApiOutcome<JsonObject> {
  if (!isObject(body))
    return refuse(
      undecodable(kind, `json: cannot unmarshal ${wordOf(body)} into Go value of type v1.${kind.kind}`),
    );
  if (nestsDeeper(body, deepest)) return refuse(undecodable(kind, "json: exceeded max depth"));
  const { unknown, error } =
    kind.custom === undefined ? decodeInto(definitionName(kind), body) : decodeCustom(kind, body);
  if (error !== undefined) return refuse(undecodable(kind, error));
  const texts = unknown.slice(0, mostUnknown).map((path) => `unknown field ${JSON.stringify(path)}`);
  if (validation === "Strict" && texts.length > 0)
    return refuse(undecodable(kind, `strict decoding error: ${texts.join(", ")}`));
  return accept(body, validation === "Warn" ? texts : []);
}

function decodeCustom(kind: KindName & Partial<Pick<KindInfo, "custom">>, body: JsonObject): DecodedFields {
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
