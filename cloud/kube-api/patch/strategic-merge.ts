import {
  definition,
  type Definition,
  type FieldType,
  definitionName,
  type KindInfo,
} from "#cloud/kube-api/schema";
import { accept, failureStatus, refuse, type ApiOutcome } from "#cloud/kube-api/status";
import { cloneJson, isObject, ownField, setField, type Json, type JsonObject } from "#shared/json";
import type { Status } from "#shared/kube";

/** A patch that cannot be applied; the text is what the API answers. */
class PatchError extends Error {}

const directive = "$patch";
const retainDirective = "$retainKeys";
const deleteItems = "$deleteFromPrimitiveList/";
const setOrder = "$setElementOrder/";

/**
 * Applies a strategic merge patch to a copy of `current`; custom kinds have none (415). Follows
 * apimachinery/util/strategicpatch and community/contributors/devel/sig-api-machinery/strategic-merge-patch.md: objects merge by
 * field, lists by the merge key of their schema or else are replaced, and directives (`$patch`, `$retainKeys`,
 * `$deleteFromPrimitiveList`, `$setElementOrder`) override that.
 */
export function strategicMerge(
  kind: KindInfo,
  current: JsonObject,
  patch: JsonObject,
): ApiOutcome<JsonObject> {
  if (kind.custom !== undefined) return refuse(noStrategicMerge());
  try {
    return accept(mergeObject(cloneJson(current), cloneJson(patch), definition(definitionName(kind))));
  } catch (error) {
    if (error instanceof PatchError) return refuse(failureStatus(error.message, "BadRequest", 400));
    throw error;
  }
}

function noStrategicMerge(): Status {
  const accepted = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
  const text = `the body of the request was in an unknown format - accepted media types include: ${accepted}`;
  return failureStatus(text, "UnsupportedMediaType", 415);
}

function mergeObject(current: JsonObject, patch: JsonObject, shape: Definition | undefined): JsonObject {
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
  if (value === null) {
    delete current[key];
    return;
  }
  setField(current, key, mergedField(ownField(current, key), { value, order }, type));
}

function mergedField(
  was: Json | undefined,
  { value, order }: { value: Json; order: Json | undefined },
  type: FieldType | undefined,
): Json {
  if (isObject(value)) return mergeValue(isObject(was) ? was : {}, value, type);
  if (!Array.isArray(value)) return value;
  if (type?.mergeKey === undefined) return value.map(cleanItem);
  return mergeList(Array.isArray(was) ? was : [], { items: value, order }, type);
}

function mergeValue(was: JsonObject, value: JsonObject, type: FieldType | undefined): JsonObject {
  const shape = type?.leaf === "#" ? definition(type.ref) : undefined;
  if (type?.shape === "map" && shape !== undefined) return mergeMap(was, value, shape);
  return mergeObject(was, value, shape);
}

/** Maps of objects: each value is merged by the shape of its kind. */
function mergeMap(was: JsonObject, value: JsonObject, shape: Definition): JsonObject {
  if (value[directive] === "replace") return withoutDirectives(value);
  for (const [key, item] of Object.entries(value)) {
    const old = ownField(was, key);
    if (item === null) delete was[key];
    else setField(was, key, isObject(item) ? mergeObject(isObject(old) ? old : {}, item, shape) : item);
  }
  return was;
}

function retain(current: JsonObject, patch: JsonObject): void {
  const keys = patch[retainDirective];
  if (keys === undefined) return;
  if (!Array.isArray(keys)) throw new PatchError("invalid patch format of retainKeys");
  const kept = new Set<Json>(keys);
  for (const key of Object.keys(patch)) {
    if (!isDirective(key) && patch[key] !== null && !kept.has(key))
      throw new PatchError("patch contains fields not in retainKeys");
  }
  for (const key of Object.keys(current)) if (!kept.has(key)) delete current[key];
}

function applyDeletions(current: JsonObject, patch: JsonObject): void {
  for (const [key, items] of Object.entries(patch)) {
    if (!key.startsWith(deleteItems)) continue;
    const field = key.slice(deleteItems.length);
    const was = ownField(current, field);
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
    const was = ownField(current, field);
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
  return [...new Set([...was, ...items])];
}

function mergeByKey(was: Json[], items: Json[], type: FieldType): Json[] {
  const mergeKey = type.mergeKey ?? "";
  const shape = type.leaf === "#" ? definition(type.ref) : undefined;
  const merged = new KeyedList(was, mergeKey);
  for (const item of items) {
    if (!isObject(item)) throw new PatchError(`expected an object in a list merged by ${mergeKey}`);
    const key = ownField(item, mergeKey);
    if (key === undefined || key === null)
      throw new PatchError(
        `map: ${JSON.stringify(item).slice(0, 1000)} does not contain declared merge key: ${mergeKey}`,
      );
    if (item[directive] === "delete") merged.delete(key);
    else merged.set(key, mergeObject(merged.get(key) ?? {}, item, shape));
  }
  return merged.items();
}

/** A list indexed by the merge key of its items. */
class KeyedList {
  /** undefined where an item was deleted */
  readonly #items: (Json | undefined)[];
  readonly #places = new Map<Json, number[]>();

  constructor(items: readonly Json[], mergeKey: string) {
    this.#items = [...items];
    for (const [index, item] of items.entries()) {
      const key = isObject(item) ? ownField(item, mergeKey) : undefined;
      if (key !== undefined) this.#note(key, index);
    }
  }

  get(key: Json): JsonObject | undefined {
    const item = this.#items[this.#places.get(key)?.[0] ?? -1];
    return isObject(item) ? item : undefined;
  }

  set(key: Json, item: JsonObject): void {
    const [place] = this.#places.get(key) ?? [];
    if (place === undefined) this.#note(key, this.#items.push(item) - 1);
    else this.#items[place] = item;
  }

  delete(key: Json): void {
    for (const place of this.#places.get(key) ?? []) this.#items[place] = undefined;
    this.#places.delete(key);
  }

  items(): Json[] {
    return this.#items.filter((item) => item !== undefined);
  }

  #note(key: Json, place: number): void {
    const places = this.#places.get(key);
    if (places) places.push(place);
    else this.#places.set(key, [place]);
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
 * Named items (by the order, else by the patch) keep that order; the others are merged in where they were before relative to
 * named ones, and come last otherwise.
 */
function inOrder(merged: Json[], { order, patched, mergeKey, server }: Ordering): Json[] {
  const keyOf = (item: Json): string =>
    JSON.stringify(isObject(item) && mergeKey !== "" ? (ownField(item, mergeKey) ?? null) : item);
  const wanted = (Array.isArray(order) ? order : patched).map(keyOf);
  const rank = new Map(wanted.map((key, index) => [key, index]));
  const places = new Map(server.map((item, index) => [keyOf(item), index]));
  const placed = merged.map((item) => {
    const key = keyOf(item);
    return { item, rank: rank.get(key), place: places.get(key) ?? Number.NaN };
  });
  const named = placed
    .filter((one) => one.rank !== undefined)
    .toSorted((a, b) => (a.rank ?? 0) - (b.rank ?? 0));
  const others = placed.filter((one) => one.rank === undefined);
  const woven: Json[] = [];
  let left = 0;
  for (const { item, place } of named) {
    for (let other = others[left]; other && other.place < place; other = others[left]) {
      woven.push(other.item);
      left += 1;
    }
    woven.push(item);
  }
  return [...woven, ...others.slice(left).map(({ item }) => item)];
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
    setField(clean, key, Array.isArray(value) ? value.map(cleanItem) : cleanItem(value));
  }
  return clean;
}
