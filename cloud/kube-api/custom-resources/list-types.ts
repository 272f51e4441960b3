import { duplicate, forbidden } from "#cloud/kube-api/kinds/validation";
import { listMapKeys, type FieldError } from "#cloud/kube-api/schema";
import { maxSteps, outOfBudget } from "./steps.ts";
import { isObject, ownField, setField, type Json, type JsonObject } from "#shared/json";

/** Causes of an answer are a hundred at most. */
const maxErrors = 50;
/** Characters of a value that a message shows. */
const longestShown = 4096;
/** As in structural.ts. */
const maxDepth = 200;

/**
 * Items that a set or a list with keys has more than once, each named once (apiextensions-apiserver/pkg/apiserver/schema/listtype).
 * @param old what is replaced: if it has such items, as it may from before its schema asked for this, others are let through
 */
export function validateLists(schema: JsonObject, value: Json, old?: Json): FieldError[] {
  const errors: FieldError[] = [];
  const budget = { steps: maxSteps };
  walk(schema, value, { path: "", errors, depth: 0, budget });
  if (budget.steps < 0) errors.push(forbidden("<nil>", outOfBudget));
  if (errors.length === 0 || old === undefined) return errors;
  return validateLists(schema, old).length > 0 ? [] : errors;
}

interface Walk {
  readonly path: string;
  readonly errors: FieldError[];
  readonly depth: number;
  readonly budget: { steps: number };
}

function walk(schema: JsonObject, value: Json, here: Walk): void {
  here.budget.steps -= 1;
  if (here.errors.length >= maxErrors || here.depth > maxDepth || here.budget.steps < 0) return;
  if (Array.isArray(value)) walkItems(schema, value, here);
  else if (isObject(value)) walkFields(schema, value, here);
}

function walkItems(schema: JsonObject, list: readonly Json[], here: Walk): void {
  const { items, "x-kubernetes-list-type": listType } = schema;
  if (listType === "set") checkUnique(list, undefined, here);
  else if (listType === "map") checkUnique(list, listMapKeys(schema), here);
  if (!isObject(items)) return;
  for (const [index, item] of list.entries())
    walk(items, item, { ...here, depth: here.depth + 1, path: `${here.path}[${index}]` });
}

function walkFields({ properties, additionalProperties }: JsonObject, value: JsonObject, here: Walk): void {
  const { path } = here;
  for (const [key, item] of Object.entries(value)) {
    const rule = (isObject(properties) ? ownField(properties, key) : undefined) ?? additionalProperties;
    if (isObject(rule))
      walk(rule, item, { ...here, depth: here.depth + 1, path: path === "" ? key : `${path}.${key}` });
  }
}

/** @param keys by which items are known; absent for a set */
function checkUnique(list: readonly Json[], keys: readonly string[] | undefined, here: Walk): void {
  const times = new Map<string, number>();
  for (const [index, item] of list.entries()) {
    here.budget.steps -= keys?.length ?? 1;
    if (here.budget.steps < 0 || here.errors.length >= maxErrors) return;
    const identity = keys ? keysOf(item, keys) : item;
    const text = JSON.stringify(identity);
    const before = times.get(text) ?? 0;
    times.set(text, before + 1);
    if (before !== 1) continue;
    const field = `${here.path}[${index}]`;
    here.errors.push(keys ? duplicateKeys(field, identity) : duplicate(field, identity));
  }
}

/** The keys that an item has. */
export function keysOf(item: Json, keys: readonly string[]): Json {
  if (!isObject(item)) return item;
  const found: JsonObject = {};
  for (const key of keys) {
    const value = ownField(item, key);
    if (value !== undefined) setField(found, key, value);
  }
  return found;
}

/** In Go's syntax, as Kubernetes writes it. */
function duplicateKeys(field: string, identity: Json): FieldError {
  const pairs = Object.entries(isObject(identity) ? identity : {});
  const text = pairs
    .map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`)
    .toSorted()
    .join(", ");
  const shown = text.length > longestShown ? `${text.slice(0, longestShown)}...` : text;
  return {
    reason: "FieldValueDuplicate",
    field,
    message: `Duplicate value: map[string]interface {}{${shown}}`,
  };
}
