import { validateMaps } from "#cloud/kube-api/kinds/validation/basics";
import { asError } from "#shared/errors";
import {
  asText,
  isObject,
  metadataOf,
  nestsDeeper,
  ownField,
  textOf,
  tryJson,
  type Json,
  type JsonObject,
} from "#shared/json";

const group = "apiextensions.k8s.io";

/** What a conversion webhook is asked. */
export interface ConversionRequest {
  readonly uid: string;
  readonly desired: string;
  readonly objects: readonly JsonObject[];
}

/** The version of ConversionReview that is spoken: the first of the webhook's that is known. */
export function reviewVersion(versions: readonly string[]): "v1" | "v1beta1" | undefined {
  return versions.find((version) => version === "v1" || version === "v1beta1");
}

export function conversionReview(version: "v1" | "v1beta1", request: ConversionRequest): JsonObject {
  const { uid, desired, objects } = request;
  return {
    kind: "ConversionReview",
    apiVersion: `${group}/${version}`,
    request: { uid, desiredAPIVersion: desired, objects: [...objects] },
  };
}

/**
 * The objects that a conversion webhook answered with, in the order of the request, with the metadata that they had:
 * only labels and annotations may change. Texts of apiextensions-apiserver/pkg/apiserver/conversion/webhook_converter.go.
 * @throws Error for an answer that cannot be used
 */
export function convertedObjects(
  version: "v1" | "v1beta1",
  request: ConversionRequest,
  answer: string,
): JsonObject[] {
  const what = `conversion webhook for ${kindOf(request.objects[0] ?? {})}`;
  const converted = answered(version, request.uid, { answer, what });
  const { length } = request.objects;
  if (converted.length !== length)
    throw new Error(`${what} returned ${converted.length} objects, expected ${length}`);
  return request.objects.map((original, index) => {
    const one = converted[index] ?? null;
    const problem = objectProblem(original, one, request.desired);
    if (problem !== undefined || !isObject(one))
      throw new Error(
        `${what} returned invalid converted object at index ${index}: ${problem ?? "not an object"}`,
      );
    try {
      return { ...one, metadata: restoredMetadata(original, one) };
    } catch (error) {
      const why = asError(error).message;
      throw new Error(`${what} returned invalid metadata in object at index ${index}: ${why}`, {
        cause: error,
      });
    }
  });
}

/** As Go prints a GroupVersionKind. */
export function kindOf(object: JsonObject): string {
  return `${asText(object["apiVersion"])}, Kind=${asText(object["kind"])}`;
}

function answered(
  version: "v1" | "v1beta1",
  uid: string,
  { answer, what }: { readonly answer: string; readonly what: string },
): readonly Json[] {
  const review = tryJson(answer);
  const failed = (why: string): Error => new Error(`${what} failed: ${why}`);
  if (!isObject(review)) throw failed("the answer is not a JSON object");
  const isBeta = version === "v1beta1";
  const [wanted, given] = [`${group}/v1, Kind=ConversionReview`, kindOf(review)];
  if (!isBeta && given !== wanted) throw failed(`expected webhook response of ${wanted}, got ${given}`);
  const { response } = review;
  if (!isObject(response)) throw failed("no response provided");
  // Those of v1beta1 need not repeat the uid.
  if (!isBeta && response["uid"] !== uid)
    throw failed(
      `expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(textOf(response, "uid"))}`,
    );
  const result = isObject(response["result"]) ? response["result"] : {};
  const status = textOf(result, "status");
  if (status !== "Success")
    throw failed(textOf(result, "message") || `response.result.status was '${status}', not 'Success'`);
  const objects = response["convertedObjects"];
  return Array.isArray(objects) ? objects : [];
}

function objectProblem(original: JsonObject, converted: Json, desired: string): string | undefined {
  if (!isObject(converted)) return "not an object";
  if (nestsDeeper(converted, deepest)) return "nested too deeply";
  const version = asText(converted["apiVersion"]);
  if (version !== desired) return `invalid groupVersion (expected ${desired}, received ${version})`;
  const [expected, received] = [asText(original["kind"]), asText(converted["kind"])];
  if (expected !== received) return `invalid kind (expected ${expected}, received ${received})`;
  const [before, after] = [metadataOf(original), metadataOf(converted)];
  for (const [field, word] of identity) {
    const [was, is] = [asText(before[field]), asText(after[field])];
    if (was !== is) return `must have the same ${word}: ${was} != ${is}`;
  }
  return undefined;
}

/** Levels, as of the body of a request. */
const deepest = 512;

const identity = [
  ["name", "name"],
  ["namespace", "namespace"],
  ["uid", "UID"],
] as const;

/** @throws Error for labels and annotations that no object may have */
function restoredMetadata(original: JsonObject, converted: JsonObject): JsonObject {
  const given = converted["metadata"];
  if (!isObject(given)) throw new Error("missing metadata in converted object");
  const { labels: _labels, annotations: _annotations, ...kept } = metadataOf(original);
  const metadata: JsonObject = { ...kept };
  for (const field of ["labels", "annotations"] as const) {
    const value = ownField(given, field) ?? null;
    if (value === null) continue;
    if (!isObject(value)) throw new Error(`invalid metadata.${field} in converted object`);
    for (const [key, text] of Object.entries(value))
      if (typeof text !== "string")
        throw new Error(`metadata.${field}[${key}] must be a string in converted object`);
    const isAsBefore = Bun.deepEquals(value, metadataOf(original)[field]);
    const [problem] = isAsBefore ? [] : validateMaps({ [field]: value }, "metadata");
    if (problem) throw new Error(`${problem.field}: ${problem.message}`);
    metadata[field] = value;
  }
  return metadata;
}
