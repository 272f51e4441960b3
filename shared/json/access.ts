import { isObject, type Json, type JsonObject } from "./json.ts";

/** The object under a field, or undefined. */
export function childOf(parent: JsonObject | undefined, field: string): JsonObject | undefined {
  if (parent === undefined || !Object.hasOwn(parent, field)) return undefined;
  const value = parent[field];
  return isObject(value) ? value : undefined;
}

/** The metadata of an object; an empty one, which is not part of it, when it has none. */
export function metadataOf(object: JsonObject): JsonObject {
  return childOf(object, "metadata") ?? {};
}

/** The object under a field, made when absent. */
export function ensureChild(parent: JsonObject, field: string): JsonObject {
  const known = childOf(parent, field);
  if (known !== undefined) return known;
  const made: JsonObject = {};
  setField(parent, field, made);
  return made;
}

/** The objects of a list field; anything else in it is skipped. */
export function itemsOf(parent: JsonObject | undefined, field: string): JsonObject[] {
  const value = parent?.[field];
  return Array.isArray(value) ? value.filter(isObject) : [];
}

/** The string under a field, empty when absent. */
export function textOf(parent: JsonObject | undefined, field: string): string {
  const value = parent?.[field];
  return typeof value === "string" ? value : "";
}

export function numberOf(parent: JsonObject | undefined, field: string): number | undefined {
  const value = parent?.[field];
  return typeof value === "number" ? value : undefined;
}

export function textsOf(parent: JsonObject | undefined, field: string): string[] {
  const value = parent?.[field];
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}

/** Sets what is absent or null. */
export function setDefault(object: JsonObject, field: string, value: Json): void {
  if (object[field] === undefined || object[field] === null) object[field] = value;
}

/** Sets what is absent, null or the empty string. */
export function setDefaultText(object: JsonObject, field: string, value: string): void {
  if (textOf(object, field) === "") object[field] = value;
}

/** String values of a map field (labels, annotations, selectors). */
export function textMapOf(parent: JsonObject | undefined, field: string): Record<string, string> {
  const found = Object.entries(childOf(parent, field) ?? {});
  return Object.fromEntries(found.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
}

/** Equal as Go's semantic comparison sees it: absent, null, empty, zero and false are one. */
export function sameMeaning(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  if (isNothing(a) || isNothing(b)) return isNothing(a) && isNothing(b);
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((item, index) => sameMeaning(item, b[index]));
  if (!isObject(a) || !isObject(b)) return false;
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((key) =>
    sameMeaning(ownField(a, key), ownField(b, key)),
  );
}

function isNothing(value: Json | undefined): boolean {
  if (value === undefined || value === null || value === "" || value === 0 || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  return isObject(value) && Object.values(value).every(isNothing);
}

/** The value of an object's own field: a key of a user may be called `constructor`, or `__proto__`. */
export function ownField(object: JsonObject, key: string): Json | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

/** Sets a field whatever its name: assigned plainly, `__proto__` would be lost and change what the object inherits. */
export function setField(object: JsonObject, key: string, value: Json): void {
  if (key === "__proto__")
    Object.defineProperty(object, key, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    });
  else object[key] = value;
}

/** A deep copy; for JSON much faster than structuredClone. */
export function cloneJson<T extends Json>(value: T): T {
  // A copy has the shape of its original.
  return clone(value) as T;
}

function clone(value: Json): Json {
  if (Array.isArray(value)) return value.map(clone);
  if (!isObject(value)) return value;
  const copy: JsonObject = {};
  for (const key of Object.keys(value)) setField(copy, key, clone(value[key] ?? null));
  return copy;
}

/** Whether a value nests deeper than `limit`; itself without recursion. */
export function nestsDeeper(value: Json, limit: number): boolean {
  let level = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > limit) return true;
    level = level.flatMap(nestedIn);
  }
  return false;
}

function nestedIn(value: Json): Json[] {
  if (typeof value !== "object" || value === null) return [];
  const children = Array.isArray(value) ? value : Object.values(value);
  return children.filter((child) => typeof child === "object" && child !== null);
}

/** Whether two values are equal; the order of fields does not count. */
export function sameJson(a: Json, b: Json): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, index) => sameJson(item, b[index] ?? null));
  }
  if (!isObject(a) || !isObject(b)) return false;
  const keys = Object.keys(b);
  if (Object.keys(a).length !== keys.length) return false;
  return keys.every((key) => Object.hasOwn(a, key) && sameJson(a[key] ?? null, b[key] ?? null));
}
