import { stepTo, type Shape } from "#cloud/kube-api/schema";
import { isObject, ownField, setField, type Json, type JsonObject } from "#shared/json";

/**
 * What an apply makes of an object (structured-merge-diff/typed/merge.go): values that are taken as a whole are those of
 * `applied`, others are merged field by field and item by item. Changes `current`.
 */
export function structuredMerge(shape: Shape, current: JsonObject, applied: JsonObject): JsonObject {
  for (const [key, value] of Object.entries(applied)) {
    const below = shape.type === "fields" ? shape.at(key) : shape;
    setField(current, key, mergeValue(below, ownField(current, key), value));
  }
  return current;
}

function mergeValue(shape: Shape, current: Json | undefined, applied: Json): Json {
  if (isObject(current) && takesFields(shape)) {
    if (isObject(applied)) return structuredMerge(shape, current, applied);
    if (applied === null) return current;
  }
  if (Array.isArray(current) && takesItems(shape)) {
    if (Array.isArray(applied)) return mergeItems(shape, current, applied);
    if (applied === null) return current;
  }
  return applied;
}

function takesFields({ type }: Shape): boolean {
  return type === "fields" || type === "free";
}

function takesItems({ type }: Shape): boolean {
  return type === "set" || type === "keyed";
}

/**
 * Items that both have come in the order of `applied`; the others stay before what they were before, as far as that can be.
 * Of items that `current` has twice, one is left when they are applied, and it is the applied one: there is nothing to tell what
 * to merge it with.
 */
function mergeItems(shape: Shape, current: readonly Json[], applied: readonly Json[]): Json[] {
  const before = current.map((item) => ({ item, step: stepTo(shape, item) }));
  const wanted = applied.map((item) => ({ item, step: stepTo(shape, item) }));
  const known = Map.groupBy(before, ({ step }) => step);
  const named = new Set(wanted.map(({ step }) => step));
  const shared = wanted.map(({ step }) => step).filter((step) => known.has(step));
  const merged: Json[] = [];
  let [place, turn] = [0, 0];
  const takeUntil = (end: string | undefined): void => {
    for (let next = before[place]; next && next.step !== end; next = before[++place])
      if (!named.has(next.step)) merged.push(next.item);
  };
  for (const { item, step } of wanted) {
    takeUntil(shared[turn]);
    const [old, ...more] = known.get(step) ?? [];
    merged.push(mergeItem(shape, more.length === 0 ? old?.item : undefined, item));
    if (step !== shared[turn]) continue;
    turn += 1;
    if (before[place]?.step === step) place += 1;
  }
  takeUntil(undefined);
  return merged;
}

function mergeItem(shape: Shape, current: Json | undefined, applied: Json): Json {
  return shape.type === "keyed" ? mergeValue(shape.item, current, applied) : applied;
}
