import { isObject, ownField, setField, tryJson, type Json, type JsonObject } from "#shared/json";
import { shapeOf, type KeyedShape, type Shape } from "./shapes.ts";
import type { KindInfo } from "./vocabulary.ts";

/*
 * The fields of an object as `metadata.managedFields` lists them: list items by their keys, members of sets by value, atomic
 * values as a whole (structured-merge-diff/typed/tofieldset.go).
 */

type NamedKind = Pick<KindInfo, "group" | "version" | "kind" | "custom">;

const ownedByApi = new Set([
  "creationTimestamp",
  "deletionGracePeriodSeconds",
  "deletionTimestamp",
  "generation",
  "managedFields",
  "name",
  "namespace",
  "resourceVersion",
  "selfLink",
  "uid",
]);

/** `fieldsV1` of an object, without what is always the API's. */
export function fieldsV1Of(kind: NamedKind, object: JsonObject): JsonObject {
  const { apiVersion: _apiVersion, kind: _kind, metadata, ...rest } = object;
  const owned = isObject(metadata)
    ? Object.fromEntries(Object.entries(metadata).filter(([key]) => !ownedByApi.has(key)))
    : metadata;
  const fields = fieldsOf(shapeOf(kind), owned === undefined ? rest : { metadata: owned, ...rest });
  return fields ?? {};
}

/** @returns undefined for a list without items: it is nobody's */
function fieldsOf(shape: Shape, value: Json): JsonObject | undefined {
  if (isObject(value)) {
    if (shape.type === "free") return entryFields(value, () => shape);
    return shape.type === "fields" ? entryFields(value, shape.at) : {};
  }
  if (!Array.isArray(value) || (shape.type !== "set" && shape.type !== "keyed")) return {};
  if (value.length === 0) return undefined;
  if (shape.type === "keyed") return itemFields(value, shape);
  return Object.fromEntries(value.map((item) => [setStep(item), {}]));
}

function entryFields(value: JsonObject, at: (name: string) => Shape): JsonObject {
  const fields: JsonObject = {};
  for (const [key, item] of Object.entries(value)) {
    const below = fieldsOf(at(key), item);
    if (below) setField(fields, `f:${key}`, below);
  }
  return fields;
}

function itemFields(list: readonly Json[], shape: KeyedShape): JsonObject {
  const fields: JsonObject = {};
  for (const item of list)
    if (isObject(item)) setField(fields, keyStep(item, shape), { ".": {}, ...fieldsOf(shape.item, item) });
  return fields;
}

function setStep(item: Json): string {
  return `v:${JSON.stringify(item)}`;
}

function keyStep(item: JsonObject, shape: KeyedShape): string {
  return `k:${JSON.stringify(keysOf(item, shape))}`;
}

/** The fields by which an item of a list is known. */
function keysOf(item: JsonObject, { keys, defaults }: KeyedShape): JsonObject {
  const found: JsonObject = {};
  for (const key of keys) {
    const value = ownField(item, key) ?? ownField(defaults, key);
    if (value !== undefined) setField(found, key, value);
  }
  return found;
}

/** The step to an item of a list; undefined for one that has none. */
export function stepTo(shape: Shape, item: Json): string | undefined {
  if (shape.type === "set") return setStep(item);
  return shape.type === "keyed" && isObject(item) ? keyStep(item, shape) : undefined;
}

/** Why an object cannot be applied (structured-merge-diff/typed/validate.go). */
export function shapeProblems(kind: NamedKind, object: JsonObject): string[] {
  const problems: string[] = [];
  collect(shapeOf(kind), object, { path: "", problems, room: { characters: mostKeyCharacters } });
  return problems;
}

/** Keys of items may be long by their defaults, which a small object can multiply. */
const mostKeyCharacters = 16 * 1024 * 1024;
/** Problems that an answer names. */
const mostProblems = 100;

interface Collecting {
  readonly path: string;
  readonly problems: string[];
  readonly room: { characters: number };
}

function collect(shape: Shape, value: Json, here: Collecting): void {
  if (here.problems.length >= mostProblems) return;
  if (shape.type === "fields" && isObject(value)) {
    for (const [key, item] of Object.entries(value))
      collect(shape.at(key), item, { ...here, path: `${here.path}.${key}` });
  } else if (Array.isArray(value) && (shape.type === "set" || shape.type === "keyed"))
    collectItems(shape, value, here);
}

function collectItems(
  shape: Extract<Shape, { type: "set" | "keyed" }>,
  list: readonly Json[],
  here: Collecting,
): void {
  const seen = new Set<string>();
  for (const [index, item] of list.entries()) {
    const problem = shape.type === "set" ? problemOfMember(item) : problemOfItem(item, shape);
    if (problem !== undefined) {
      here.problems.push(`${here.path}: element ${index}: ${problem}`);
      return;
    }
    if (here.problems.length >= mostProblems) return;
    const step = stepTo(shape, item) ?? "";
    here.room.characters -= step.length;
    if (here.room.characters < 0) {
      here.problems.push(`${here.path}: the keys of its elements are too long together`);
      return;
    }
    const spelled = spellStep(step);
    if (seen.has(step)) here.problems.push(`${here.path}: duplicate entries for key ${spelled}`);
    seen.add(step);
    if (shape.type === "keyed") collect(shape.item, item, { ...here, path: `${here.path}${spelled}` });
  }
}

function problemOfMember(item: Json): string | undefined {
  if (item === null) return "associative list without keys has an element that's an explicit null";
  if (Array.isArray(item)) return "not supported: associative list with lists as elements";
  return isObject(item) ? "associative list without keys has an element that's a map type" : undefined;
}

function problemOfItem(item: Json, { keys, defaults }: KeyedShape): string | undefined {
  if (item === null) return "associative list with keys may not have a null element";
  if (!isObject(item)) return "associative list with keys may not have non-map elements";
  const missing = keys.find((key) => !Object.hasOwn(item, key) && !Object.hasOwn(defaults, key));
  if (missing === undefined) return undefined;
  return `associative list with keys has an element that omits key field ${JSON.stringify(missing)} (and doesn't have default value)`;
}

/** A step as messages write it: `.image`, `[name="c"]`, `[="finalizer"]`. */
export function spellStep(step: string): string {
  const what = step.slice(2);
  if (step.startsWith("f:")) return `.${what}`;
  const keys = step.startsWith("k:") ? tryJson(what) : undefined;
  if (!isObject(keys)) return `[${step.startsWith("v:") ? "=" : ""}${what}]`;
  return `[${Object.entries(keys)
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join(",")}]`;
}
