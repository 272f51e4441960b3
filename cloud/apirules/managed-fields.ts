import type { Json, JsonObject } from "#cloud/apischema";
import { isObject } from "./patches.ts";

/** One entry of `metadata.managedFields`. */
export interface ManagedEntry {
  manager: string;
  operation: "Apply" | "Update";
  apiVersion: string;
  time: string;
  fieldsType: "FieldsV1";
  fieldsV1: JsonObject;
  subresource?: string;
}

/** Fields of `a` and `b` together. */
export function unite(a: JsonObject, b: JsonObject): JsonObject {
  const result = { ...a };
  for (const [key, value] of Object.entries(b)) {
    const mine = result[key];
    result[key] = isObject(mine) && isObject(value) ? unite(mine, value) : value;
  }
  return result;
}

/** Leaves of `a` that `b` does not hold. */
export function subtract(a: JsonObject, b: JsonObject): JsonObject {
  const result: JsonObject = {};
  for (const [key, value] of Object.entries(a)) {
    const other = b[key];
    if (!isObject(value) || other === undefined) {
      result[key] = value;
      continue;
    }
    if (isLeaf(value)) continue;
    const rest = subtract(value, isObject(other) ? other : {});
    if (!isLeaf(rest)) result[key] = rest;
  }
  return result;
}

/** Leaves that both hold, as paths. */
export function commonLeaves(a: JsonObject, b: JsonObject, path: readonly string[] = []): string[][] {
  return Object.entries(a).flatMap(([key, value]) => {
    const other = b[key];
    if (!isObject(value) || !isObject(other) || key === ".") return [];
    if (isLeaf(value) || isLeaf(other)) return [[...path, key]];
    return commonLeaves(value, other, [...path, key]);
  });
}

export function leaves(set: JsonObject, path: readonly string[] = []): string[][] {
  return Object.entries(set).flatMap(([key, value]) => {
    if (key === "." || !isObject(value)) return [];
    const inner = leaves(value, [...path, key]);
    return inner.length > 0 ? inner : [[...path, key]];
  });
}

/**
 * Items of keyed lists in `set` of which `kept` holds nothing, as paths. They go as a whole: what the API filled in belongs
 * to nobody and would stay behind otherwise.
 */
export function lostItems(set: JsonObject, kept: JsonObject, path: readonly string[] = []): string[][] {
  return Object.entries(set).flatMap(([key, value]) => {
    if (!isObject(value)) return [];
    const other = kept[key];
    if (key.startsWith("k:") && other === undefined) return [[...path, key]];
    return lostItems(value, isObject(other) ? other : {}, [...path, key]);
  });
}

export function isLeaf(set: JsonObject): boolean {
  return Object.keys(set).every((key) => key === ".");
}

/** The value at a path of fieldsV1 steps (`f:spec`, `k:{"name":"c"}`, `v:"x"`, `i:0`). */
export function valueAt(object: Json | undefined, path: readonly string[]): Json | undefined {
  let at = object;
  for (const step of path) {
    if (at === undefined) return undefined;
    const place = locate(at, step);
    at = place === undefined ? undefined : Array.isArray(at) ? at[Number(place)] : (at as JsonObject)[place];
  }
  return at;
}

/** Takes the value at a path away, and what became empty by it. Changes `object`. */
export function removeAt(object: Json, path: readonly string[]): void {
  const [step, ...rest] = path;
  if (step === undefined) return;
  const place = locate(object, step);
  if (place === undefined) return;
  const child = Array.isArray(object) ? object[Number(place)] : (object as JsonObject)[place];
  if (rest.length > 0) {
    if (child === undefined) return;
    removeAt(child, rest);
    if (!isEmptied(child)) return;
  }
  if (Array.isArray(object)) object.splice(Number(place), 1);
  else delete (object as JsonObject)[place];
}

function isEmptied(value: Json): boolean {
  return Array.isArray(value) ? value.length === 0 : isObject(value) && Object.keys(value).length === 0;
}

function locate(at: Json, step: string): string | undefined {
  const what = step.slice(2);
  if (step.startsWith("f:")) return isObject(at) && Object.hasOwn(at, what) ? what : undefined;
  if (!Array.isArray(at)) return undefined;
  if (step.startsWith("i:")) return what;
  const wanted = JSON.parse(what) as Json;
  const index = at.findIndex((item) => (step.startsWith("v:") ? item === wanted : matchesKeys(item, wanted)));
  return index < 0 ? undefined : String(index);
}

function matchesKeys(item: Json, keys: Json): boolean {
  return (
    isObject(item) &&
    isObject(keys) &&
    Object.entries(keys).every(([key, value]) => (item[key] ?? null) === value)
  );
}

/** A path as conflict messages spell it: `.spec.template.spec.containers[name="c"].image`. */
export function spellPath(path: readonly string[]): string {
  return path
    .map((step) => {
      const what = step.slice(2);
      if (step.startsWith("f:")) return `.${what}`;
      if (!step.startsWith("k:")) return `[${step.startsWith("v:") ? "=" : ""}${what}]`;
      const keys = Object.entries(JSON.parse(what) as JsonObject);
      return `[${keys.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(",")}]`;
    })
    .join("");
}
