import { cloneJson } from "./access.ts";
import { definition, type Definition, type FieldType } from "./definitions.ts";
import { isObject, type Json, type JsonObject } from "./vocabulary.ts";

/** A patch that cannot be applied; the text is what the API answers. */
export class PatchError extends Error {}

const directive = "$patch";
const retainDirective = "$retainKeys";
const deleteItems = "$deleteFromPrimitiveList/";
const setOrder = "$setElementOrder/";

/** Applies a strategic merge patch to a copy of `current`; `name` is the definition of the kind. */
export function strategicMergeInto(name: string, current: JsonObject, patch: JsonObject): JsonObject {
  return mergeObject(cloneJson(current), cloneJson(patch), definition(name));
}

function mergeObject(current: JsonObject, patch: JsonObject, shape: Definition | undefined): JsonObject {
  refusePrototype(patch);
  const action = patch[directive];
  if (action === "replace") return withoutDirectives(patch);
  if (action === "delete") return {};
  if (action !== undefined && action !== "merge")
    throw new PatchError(`Unknown patch type: ${JSON.stringify(action)}`);
  retain(current, patch);
  applyDeletions(current, patch);
  for (const [key, value] of Object.entries(patch)) {
    if (isDirective(key)) continue;
    mergeKeyInto(current, { key, value, order: patch[`${setOrder}${key}`] }, shape?.get(key));
  }
  orderUnpatched(current, patch, shape);
  return current;
}

function mergeKeyInto(
  current: JsonObject,
  change: { key: string; value: Json; order: Json | undefined },
  type: FieldType | undefined,
): void {
  const { key, value, order } = change;
  const was = current[key];
  if (value === null) delete current[key];
  else if (isObject(value)) current[key] = mergeValue(isObject(was) ? was : {}, value, type);
  else if (Array.isArray(value) && type?.mergeKey !== undefined)
    current[key] = mergeList(Array.isArray(was) ? was : [], { items: value, order }, type);
  else current[key] = Array.isArray(value) ? value.map(cleanItem) : value;
}

function mergeValue(was: JsonObject, value: JsonObject, type: FieldType | undefined): JsonObject {
  const shape = type?.leaf === "#" ? definition(type.ref) : undefined;
  if (type?.shape === "map" && shape !== undefined) return mergeMap(was, value, shape);
  return mergeObject(was, value, shape);
}

/** Maps of objects: each value is merged by the shape of its kind. */
function mergeMap(was: JsonObject, value: JsonObject, shape: Definition): JsonObject {
  refusePrototype(value);
  if (value[directive] === "replace") return withoutDirectives(value);
  for (const [key, item] of Object.entries(value)) {
    const old = was[key];
    if (item === null) delete was[key];
    else was[key] = isObject(item) ? mergeObject(isObject(old) ? old : {}, item, shape) : item;
  }
  return was;
}

function refusePrototype(patch: JsonObject): void {
  if (Object.hasOwn(patch, "__proto__")) throw new PatchError('unknown field "__proto__"');
}

function retain(current: JsonObject, patch: JsonObject): void {
  const keys = patch[retainDirective];
  if (keys === undefined) return;
  if (!Array.isArray(keys)) throw new PatchError("invalid patch format of retainKeys");
  for (const key of Object.keys(patch)) {
    if (!isDirective(key) && patch[key] !== null && !keys.includes(key))
      throw new PatchError("patch contains fields not in retainKeys");
  }
  for (const key of Object.keys(current)) if (!keys.includes(key)) delete current[key];
}

function applyDeletions(current: JsonObject, patch: JsonObject): void {
  for (const [key, items] of Object.entries(patch)) {
    if (!key.startsWith(deleteItems)) continue;
    const field = key.slice(deleteItems.length);
    const was = current[field];
    if (!Array.isArray(was) || !Array.isArray(items)) continue;
    const gone = new Set(items.map((item) => JSON.stringify(item)));
    current[field] = was.filter((item) => !gone.has(JSON.stringify(item)));
  }
}

/** A $setElementOrder without the list itself only reorders. */
function orderUnpatched(current: JsonObject, patch: JsonObject, shape: Definition | undefined): void {
  for (const [key, order] of Object.entries(patch)) {
    if (!key.startsWith(setOrder)) continue;
    const field = key.slice(setOrder.length);
    const was = current[field];
    const mergeKey = shape?.get(field)?.mergeKey;
    if (patch[field] !== undefined || !Array.isArray(was) || mergeKey === undefined) continue;
    current[field] = inOrder(was, { order, patched: [], mergeKey, server: was });
  }
}

function mergeList(was: Json[], patch: { items: Json[]; order: Json | undefined }, type: FieldType): Json[] {
  const mergeKey = type.mergeKey ?? "";
  const { items, order } = patch;
  if (items.some((item) => isObject(item) && item[directive] === "replace"))
    return items.filter((item) => !(isObject(item) && item[directive] === "replace")).map(cleanItem);
  const merged = mergeKey === "" ? mergePrimitives(was, items) : mergeByKey(was, items, type);
  return inOrder(merged, { order, patched: items, mergeKey, server: was });
}

function mergePrimitives(was: Json[], items: Json[]): Json[] {
  const merged = [...was];
  for (const item of items) if (!merged.includes(item)) merged.push(item);
  return merged;
}

function mergeByKey(was: Json[], items: Json[], type: FieldType): Json[] {
  const mergeKey = type.mergeKey ?? "";
  const shape = type.leaf === "#" ? definition(type.ref) : undefined;
  const merged = [...was];
  for (const item of items) {
    if (!isObject(item)) throw new PatchError(`expected an object in a list merged by ${mergeKey}`);
    const key = item[mergeKey];
    if (key === undefined || key === null)
      throw new PatchError(`map: ${JSON.stringify(item)} does not contain declared merge key: ${mergeKey}`);
    const index = merged.findIndex((existing) => isObject(existing) && existing[mergeKey] === key);
    if (item[directive] === "delete") removeKey(merged, mergeKey, key);
    else if (index < 0) merged.push(mergeObject({}, item, shape));
    else {
      const existing = merged[index];
      merged[index] = mergeObject(isObject(existing) ? existing : {}, item, shape);
    }
  }
  return merged;
}

function removeKey(list: Json[], mergeKey: string, key: Json): void {
  for (let index = list.length - 1; index >= 0; index -= 1) {
    const item = list[index];
    if (isObject(item) && item[mergeKey] === key) list.splice(index, 1);
  }
}

interface Ordering {
  /** $setElementOrder, if the patch has one. */
  readonly order: Json | undefined;
  readonly patched: readonly Json[];
  readonly mergeKey: string;
  /** The list before the patch. */
  readonly server: readonly Json[];
}

/**
 * Named items (by the order, else by the patch) keep that order; the others are woven in where they stood before relative to
 * named ones, and come last where nothing tells.
 */
function inOrder(merged: Json[], { order, patched, mergeKey, server }: Ordering): Json[] {
  const keyOf = (item: Json): string =>
    JSON.stringify(isObject(item) && mergeKey !== "" ? (item[mergeKey] ?? null) : item);
  const wanted = (Array.isArray(order) ? order : patched).map(keyOf);
  const rank = new Map(wanted.map((key, index) => [key, index]));
  const named = merged.filter((item) => rank.has(keyOf(item)));
  named.sort((a, b) => (rank.get(keyOf(a)) ?? 0) - (rank.get(keyOf(b)) ?? 0));
  const others = merged.filter((item) => !rank.has(keyOf(item)));
  const places = new Map(server.map((item, index) => [keyOf(item), index]));
  const placeOf = (item: Json | undefined): number => places.get(keyOf(item ?? null)) ?? Number.NaN;
  const woven: Json[] = [];
  let left = 0;
  for (const item of named) {
    while (left < others.length && placeOf(others[left]) < placeOf(item)) woven.push(others[left++] ?? null);
    woven.push(item);
  }
  return [...woven, ...others.slice(left)];
}

function isDirective(key: string): boolean {
  return (
    key === directive || key === retainDirective || key.startsWith(deleteItems) || key.startsWith(setOrder)
  );
}

function cleanItem(item: Json): Json {
  return isObject(item) ? withoutDirectives(item) : item;
}

function withoutDirectives(object: JsonObject): JsonObject {
  const clean: JsonObject = {};
  for (const [key, value] of Object.entries(object)) {
    if (isDirective(key) || value === null) continue;
    clean[key] = Array.isArray(value) ? value.map(cleanItem) : cleanItem(value);
  }
  return clean;
}
