import { spellStep } from "#cloud/kube-api/schema";
import { isObject, ownField, sameJson, setField, tryJson, type Json, type JsonObject } from "#shared/json";

/**
 * Sets of fields as `metadata.managedFields` has them (fieldsV1, structured-merge-diff/fieldpath): trees of steps `f:<field>`,
 * `k:<keys of an item>`, `v:<value>`, `i:<index>`. All functions walk whole trees once: a list is indexed by the steps into it,
 * so that the cost grows with the size of a set and not with its square.
 */
export interface ManagedEntry {
  manager: string;
  operation: "Apply" | "Update";
  apiVersion: string;
  time: string;
  fieldsType: "FieldsV1";
  fieldsV1: JsonObject;
  subresource?: string;
}

/** Fields of all sets together. */
export function uniteAll(sets: readonly JsonObject[]): JsonObject {
  const all: JsonObject = {};
  for (const set of sets) addAll(all, set);
  return all;
}

/** Adds to `target`, which must share nothing with another set. */
function addAll(target: JsonObject, set: JsonObject): void {
  for (const [key, value] of Object.entries(set)) {
    const mine = ownField(target, key);
    if (isObject(mine) && isObject(value)) {
      addAll(mine, value);
      continue;
    }
    const copy: JsonObject = {};
    if (isObject(value)) addAll(copy, value);
    setField(target, key, isObject(value) ? copy : value);
  }
}

/** Leaves of `a` that `b` does not hold. */
export function subtract(a: JsonObject, b: JsonObject): JsonObject {
  const result: JsonObject = {};
  for (const [key, value] of Object.entries(a)) {
    const other = ownField(b, key);
    if (!isObject(value) || other === undefined) {
      setField(result, key, value);
      continue;
    }
    if (isLeaf(value)) continue;
    const rest = subtract(value, isObject(other) ? other : {});
    if (!isLeaf(rest)) setField(result, key, rest);
  }
  return result;
}

/** Leaves of `set` for which a test of the values at their place in two objects holds, with what lies above them. */
export function leavesWhere(
  set: JsonObject,
  [one, other]: readonly [Json | undefined, Json | undefined],
  holds: (one: Json | undefined, other: Json | undefined) => boolean,
): JsonObject {
  const found: JsonObject = {};
  const [inOne, inOther] = [membersOf(one, set), membersOf(other, set)];
  for (const [step, value] of Object.entries(set)) {
    if (step === "." || !isObject(value)) continue;
    const values = [inOne.get(step)?.value, inOther.get(step)?.value] as const;
    if (isLeaf(value)) {
      if (holds(...values)) setField(found, step, {});
      continue;
    }
    const inner = leavesWhere(value, values, holds);
    if (!isLeaf(inner)) setField(found, step, inner);
  }
  return found;
}

/** Whether two values differ, absence being a value. */
export function differ(one: Json | undefined, other: Json | undefined): boolean {
  if (one === undefined || other === undefined) return one !== other;
  return !sameJson(one, other);
}

/** Leaves that both hold, for the cost of going through `a`. */
export function common(a: JsonObject, b: JsonObject): JsonObject {
  const found: JsonObject = {};
  for (const [key, value] of Object.entries(a)) {
    const other = ownField(b, key);
    if (!isObject(value) || !isObject(other) || key === ".") continue;
    if (isLeaf(value) || isLeaf(other)) setField(found, key, {});
    else {
      const inner = common(value, other);
      if (!isLeaf(inner)) setField(found, key, inner);
    }
  }
  return found;
}

/**
 * The part of `set` that somebody wrote who named the fields in `names`: these, and within items of keyed lists what the API has
 * filled in besides, so that such an item can go as a whole.
 */
export function namedBy(names: JsonObject, set: JsonObject, inItem = false): JsonObject {
  const found: JsonObject = {};
  for (const [key, value] of Object.entries(set)) {
    const name = ownField(names, key);
    if (!isObject(value) || key === ".") continue;
    if (!isObject(name)) {
      if (inItem && isLeaf(value)) setField(found, key, value);
    } else if (isLeaf(value) || isLeaf(name)) setField(found, key, value);
    else {
      const inner = namedBy(name, value, inItem || key.startsWith("k:"));
      if (!isLeaf(inner)) setField(found, key, inner);
    }
  }
  return found;
}

/** The leaves of a set as paths. */
export function leaves(set: JsonObject, path: readonly string[] = []): string[][] {
  return Object.entries(set).flatMap(([key, value]) => {
    if (key === "." || !isObject(value)) return [];
    const inner = leaves(value, [...path, key]);
    return inner.length > 0 ? inner : [[...path, key]];
  });
}

/**
 * Items of keyed lists in `set` of which `kept` holds nothing, as leaves. They go as a whole: what the API filled in belongs
 * to no manager and would be left over otherwise.
 */
export function lostItems(set: JsonObject, kept: JsonObject): JsonObject {
  const lost: JsonObject = {};
  for (const [key, value] of Object.entries(set)) {
    if (!isObject(value)) continue;
    const other = ownField(kept, key);
    if (key.startsWith("k:") && other === undefined) {
      setField(lost, key, {});
      continue;
    }
    const inner = lostItems(value, isObject(other) ? other : {});
    if (!isLeaf(inner)) setField(lost, key, inner);
  }
  return lost;
}

/** Whether a set has no members below it. */
export function isLeaf(set: JsonObject): boolean {
  for (const key in set) if (key !== ".") return false;
  return true;
}

/** Removes the values at the leaves of a set, and what becomes empty by that. Changes `object`. */
export function removeLeaves(object: Json, set: JsonObject): void {
  const gone = new Set<string | number>();
  const members = membersOf(object, set);
  for (const [step, value] of Object.entries(set)) {
    const member = members.get(step);
    if (step === "." || !isObject(value) || member === undefined) continue;
    if (!isLeaf(value)) {
      removeLeaves(member.value, value);
      if (!isEmptied(member.value)) continue;
    }
    gone.add(member.place);
  }
  if (Array.isArray(object)) keepOnly(object, (index) => !gone.has(index));
  else if (isObject(object)) for (const key of gone) delete object[key];
}

function keepOnly(list: Json[], isKept: (index: number) => boolean): void {
  let end = 0;
  for (const [index, item] of list.entries()) if (isKept(index)) list[end++] = item;
  list.length = end;
}

function isEmptied(value: Json): boolean {
  return Array.isArray(value) ? value.length === 0 : isObject(value) && Object.keys(value).length === 0;
}

interface Member {
  readonly place: string | number;
  readonly value: Json;
}

const none: ReadonlyMap<string, Member> = new Map();
/** Distinct sets of key names in one list; a kind has one, clients can write any. */
const mostKeyings = 8;

/** The members of a value that the steps of a set denote; a list is walked once for all of them. */
function membersOf(value: Json | undefined, set: JsonObject): ReadonlyMap<string, Member> {
  if (isObject(value)) return fieldsOf(value, set);
  return Array.isArray(value) ? itemsOf(value, Object.keys(set)) : none;
}

function fieldsOf(value: JsonObject, set: JsonObject): ReadonlyMap<string, Member> {
  const found = new Map<string, Member>();
  for (const step of Object.keys(set)) {
    const place = step.slice(2);
    if (step.startsWith("f:") && Object.hasOwn(value, place))
      found.set(step, { place, value: value[place] ?? null });
  }
  return found;
}

function itemsOf(list: readonly Json[], steps: readonly string[]): ReadonlyMap<string, Member> {
  const wanted = new WantedItems(steps);
  const found = new Map<string, Member>();
  for (const [place, value] of list.entries())
    for (const step of wanted.stepsOf(place, value)) if (!found.has(step)) found.set(step, { place, value });
  return found;
}

interface Keying {
  readonly names: readonly string[];
  /** by the values of the keys */
  readonly steps: Map<string, string>;
}

/** The steps of a set into a list, indexed so that those of an item are found at once. */
class WantedItems {
  readonly #keyed = new Map<string, Keying>();
  readonly #byValue = new Map<string, string>();
  readonly #byPlace = new Map<number, string>();

  constructor(steps: readonly string[]) {
    for (const step of steps) this.#add(step);
  }

  stepsOf(place: number, value: Json): string[] {
    const keys = isObject(value) ? [...this.#keyed.values()] : [];
    const steps = isObject(value)
      ? keys.map(({ names, steps: known }) => known.get(keyText(value, names)))
      : [this.#byValue.size > 0 ? this.#byValue.get(JSON.stringify(value)) : undefined];
    return [this.#byPlace.get(place), ...steps].filter((step) => step !== undefined);
  }

  #add(step: string): void {
    const what = step.slice(2);
    if (step.startsWith("i:")) this.#byPlace.set(Number(what), step);
    const wanted = step.startsWith("k:") || step.startsWith("v:") ? tryJson(what) : undefined;
    if (wanted === undefined) return;
    if (step.startsWith("v:")) this.#byValue.set(JSON.stringify(wanted), step);
    else if (isObject(wanted)) this.#addKeyed(wanted, step);
  }

  #addKeyed(wanted: JsonObject, step: string): void {
    const names = Object.keys(wanted);
    const id = JSON.stringify(names);
    let keying = this.#keyed.get(id);
    if (!keying) {
      if (this.#keyed.size >= mostKeyings) return;
      this.#keyed.set(id, (keying = { names, steps: new Map() }));
    }
    keying.steps.set(keyText(wanted, names), step);
  }
}

function keyText(item: JsonObject, names: readonly string[]): string {
  return JSON.stringify(names.map((name) => ownField(item, name) ?? null));
}

/** A path as in conflict messages: `.spec.template.spec.containers[name="c"].image`. */
export function spellPath(path: readonly string[]): string {
  return path.map(spellStep).join("");
}

/**
 * A set from before the schema of a list changed, by the fields of the object as it is: who owned a list as a whole owns its
 * items, who owned items owns the list (structured-merge-diff/typed/reconcile_schema.go).
 */
export function reconcileLists(set: JsonObject, live: JsonObject): JsonObject {
  const result: JsonObject = {};
  for (const [step, value] of Object.entries(set)) {
    const now = ownField(live, step);
    if (!isObject(value) || !isObject(now)) setField(result, step, value);
    else if (isLeaf(value)) setField(result, step, hasItems(now) ? now : value);
    else setField(result, step, hasItems(value) && isLeaf(now) ? {} : reconcileLists(value, now));
  }
  return result;
}

function hasItems(set: JsonObject): boolean {
  for (const step in set) if (step.startsWith("k:") || step.startsWith("v:")) return true;
  return false;
}
