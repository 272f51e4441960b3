import {
  cloneJson,
  isObject,
  nestsDeeper,
  ownField,
  sameMeaning,
  tryJson,
  type Json,
  type JsonObject,
} from "#shared/json";
import { jsonPatch, mergePatch, PatchError } from "#shared/patch";
import type { Desired } from "#shared/topics";
import { refuse } from "./refusal.ts";

/** What a request makes of a Device. */
export type DeviceChange =
  | { readonly ok: true; readonly values: ReadonlyMap<string, Desired> }
  /** It changes something else as well: this field. */
  | { readonly ok: false; readonly field: string };

/** As the embedded API takes. */
const deepest = 512;
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration";
const forms: ReadonlyMap<string, (device: JsonObject, body: Json) => Json> = new Map([
  ["application/json-patch+json", jsonPatch],
  ["application/merge-patch+json", (device, body) => mergePatch(device, body)],
]);

/** The object that a PUT or PATCH makes of a Device. @throws RequestRefusal for what cannot be read or does not apply */
export function changedDevice(
  method: string,
  contentType: string | null,
  { device, text }: { readonly device: JsonObject; readonly text: string },
): JsonObject {
  const type = contentType?.split(";")[0]?.trim().toLowerCase() ?? "";
  const apply = method === "PUT" ? whole(type) : forms.get(type);
  if (!apply) throw refuse.unsupportedType([...(method === "PUT" ? ["application/json"] : forms.keys())]);
  const body = tryJson(text);
  if (body === undefined) throw refuse.badRequest("the body of the request is not JSON");
  if (nestsDeeper(body, deepest)) throw refuse.badRequest("the body of the request is nested too deep");
  const after = patched(() => apply(cloneJson(device), body));
  if (!isObject(after)) throw refuse.badRequest("the body of the request is not an object");
  return after;
}

function whole(type: string): ((device: JsonObject, body: Json) => Json) | undefined {
  return type === "application/json" || type === "" ? (_device, body) => body : undefined;
}

function patched(patch: () => Json): Json {
  try {
    return patch();
  } catch (error) {
    if (!(error instanceof PatchError)) throw error;
    const { fault, message } = error;
    if (fault === "too-large") throw refuse.tooLarge(message);
    throw fault === "failed" ? refuse.invalid(message) : refuse.badRequest(message);
  }
}

/** The desired values that differ between two states of a Device, if nothing else does. */
export function desiredChange(before: JsonObject, after: JsonObject): DeviceChange {
  const [old, now] = [comparable(before), comparable(after)];
  const field = firstDifference(old.rest, now.rest, "");
  if (field !== undefined) return { ok: false, field };
  const values = new Map<string, Desired>();
  for (const [index, { name, desired }] of now.properties.entries()) {
    const known = old.properties[index]?.desired;
    const value = valueOf(desired);
    const isMetaSame = value === null || sameMeaning(known?.["metadata"], desired?.["metadata"]);
    if (!isMetaSame) return { ok: false, field: `spec.properties[${index}].desired.metadata` };
    if (value !== valueOf(known)) values.set(name, value);
  }
  return { ok: true, values };
}

function valueOf(desired: JsonObject | undefined): Desired {
  const value = desired?.["value"] ?? "";
  if (typeof value !== "string")
    throw refuse.badRequest('desired.value: expected a text, such as "23.5" in quotes');
  return value === "" ? null : value;
}

interface Comparable {
  /** Without desired values, the status, and what clients and the API keep for themselves. */
  readonly rest: JsonObject;
  readonly properties: readonly { readonly name: string; readonly desired: JsonObject | undefined }[];
}

function comparable({ status: _status, ...device }: JsonObject): Comparable {
  const rest = cloneJson(device);
  const metadata = isObject(rest["metadata"]) ? rest["metadata"] : {};
  delete metadata["resourceVersion"];
  delete metadata["managedFields"];
  if (isObject(metadata["annotations"])) delete metadata["annotations"][lastApplied];
  const spec = isObject(rest["spec"]) ? rest["spec"] : {};
  const properties = Array.isArray(spec["properties"]) ? spec["properties"].filter(isObject) : [];
  return {
    rest,
    properties: properties.map((property) => {
      const { name, desired } = property;
      delete property["desired"];
      return { name: typeof name === "string" ? name : "", desired: isObject(desired) ? desired : undefined };
    }),
  };
}

/** The path of the first field in which two values differ. */
function firstDifference(a: Json | undefined, b: Json | undefined, path: string): string | undefined {
  if (sameMeaning(a, b)) return undefined;
  if (Array.isArray(a) && Array.isArray(b) && a.length === b.length)
    return firstOf(a.keys(), (index) => firstDifference(a[index], b[index], `${path}[${index}]`));
  if (!isObject(a) || !isObject(b)) return path;
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return firstOf(names, (name) =>
    firstDifference(ownField(a, name), ownField(b, name), path === "" ? name : `${path}.${name}`),
  );
}

function firstOf<T>(items: Iterable<T>, find: (item: T) => string | undefined): string | undefined {
  for (const item of items) {
    const found = find(item);
    if (found !== undefined) return found;
  }
  return undefined;
}
