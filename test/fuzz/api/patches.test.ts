import * as fc from "fast-check";
import { findKind, type KindInfo } from "#cloud/kube-api/kinds";
import { patchObject } from "#cloud/kube-api/patch";
import { jsonPatch, mergePatch, PatchError } from "#shared/patch";
import { Refusal } from "#cloud/kube-api/status";
import type { Json, JsonObject } from "#shared/json";
import { fuzz, within } from "#internal/test/fuzz/fuzzing.ts";
import { json, jsonObject, key, objectOf, scalar, spelled } from "#internal/test/fuzz/json-values.ts";

/** The outcome of a patch: the document as text, or that it was refused; anything else it throws is a fault. */
function outcome(target: JsonObject, patch: () => Json): string {
  const before = JSON.stringify(target);
  const made = refusedOr(() => within(2000, () => spelled(patch())));
  if (JSON.stringify(target) !== before) throw new Error("the patch changed the document it was given");
  return made;
}

function refusedOr(make: () => string): string {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof Refusal || error instanceof PatchError)) throw error;
    return "refused";
  }
}

function expectSame(got: string, wanted: string): void {
  if (got !== wanted) throw new Error(`got    ${got}\nwanted ${wanted}`);
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

// A model of RFC 6902 that makes a new document for each operation.

class Refused extends Error {}

function member(value: Json, step: string): Json {
  if (Array.isArray(value)) {
    const item = /^(0|[1-9]\d*)$/.test(step) ? value[Number(step)] : undefined;
    if (item === undefined) throw new Refused();
    return item;
  }
  if (!isObject(value) || !Object.hasOwn(value, step)) throw new Refused();
  return value[step] ?? null;
}

/** The document with the value at a path replaced by what `change` makes of it (undefined: there is none). */
function changed(
  value: Json,
  [step, ...rest]: readonly string[],
  change: (was: Json | undefined) => Json | undefined,
): Json | undefined {
  if (step === undefined) return change(value);
  if (Array.isArray(value)) return changedList(value, [step, ...rest], change);
  if (!isObject(value)) throw new Refused();
  if (rest.length > 0) {
    const inner = changed(member(value, step), rest, change) ?? null;
    return objectOf(Object.entries(value).map(([name, was]) => [name, name === step ? inner : was]));
  }
  const made = change(Object.hasOwn(value, step) ? (value[step] ?? null) : undefined);
  const others = Object.entries(value).filter(([name]) => name !== step);
  return objectOf(made === undefined ? others : [...others, [step, made]]);
}

function changedList(
  list: readonly Json[],
  [step = "", ...rest]: readonly string[],
  change: (was: Json | undefined) => Json | undefined,
): Json {
  const isIndex = /^(0|[1-9]\d*)$/.test(step);
  if (!isIndex && (step !== "-" || rest.length > 0)) throw new Refused();
  const index = isIndex ? Number(step) : list.length;
  if (rest.length > 0)
    return list.with(indexIn(list, index), changed(member([...list], step), rest, change) ?? null);
  const made = change(isIndex ? list[index] : undefined);
  return made === undefined ? list.toSpliced(indexIn(list, index), 1) : list.with(indexIn(list, index), made);
}

function indexIn(list: readonly Json[], index: number): number {
  if (index >= list.length) throw new Refused();
  return index;
}

function stepsOf(pointer: Json | undefined): string[] {
  if (typeof pointer !== "string" || (pointer !== "" && !pointer.startsWith("/"))) throw new Refused();
  return pointer
    .split("/")
    .slice(1)
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function added(document: Json, path: readonly string[], value: Json): Json {
  const steps = [...path];
  const last = steps.pop();
  if (last === undefined) return value;
  const owner = steps.reduce<Json>(member, document);
  if (!Array.isArray(owner)) return changed(document, path, () => value) ?? null;
  const index = last === "-" ? owner.length : /^(0|[1-9]\d*)$/.test(last) ? Number(last) : Number.NaN;
  if (!(index <= owner.length)) throw new Refused();
  return changed(document, steps, () => owner.toSpliced(index, 0, value)) ?? null;
}

function removed(document: Json, path: readonly string[]): Json {
  path.reduce<Json>(member, document);
  if (path.length === 0) throw new Refused();
  return changed(document, path, () => undefined) ?? null;
}

function given(operation: JsonObject): Json {
  const { value } = operation;
  if (value === undefined) throw new Refused();
  return value;
}

function moved(document: Json, from: readonly string[], path: readonly string[]): Json {
  if (path.length > from.length && from.every((step, at) => step === path[at])) throw new Refused();
  const value = from.reduce<Json>(member, document);
  return added(removed(document, from), path, value);
}

function replaced(document: Json, path: readonly string[], value: Json): Json {
  path.reduce<Json>(member, document);
  return changed(document, path, () => value) ?? null;
}

function tested(document: Json, path: readonly string[], wanted: Json): Json {
  if (spelled(valueAt(document, path)) !== spelled(wanted)) throw new Refused();
  return document;
}

type Operate = (document: Json, path: readonly string[], operation: JsonObject) => Json;

const operations: ReadonlyMap<Json | undefined, Operate> = new Map<Json | undefined, Operate>([
  ["add", (document, path, operation) => added(document, path, given(operation))],
  ["replace", (document, path, operation) => replaced(document, path, given(operation))],
  ["remove", (document, path) => removed(document, path)],
  ["copy", (document, path, { from }) => added(document, path, stepsOf(from).reduce<Json>(member, document))],
  ["move", (document, path, { from }) => moved(document, stepsOf(from), path)],
  ["test", (document, path, { value }) => tested(document, path, value ?? null)],
]);

function operated(document: Json, operation: Json): Json {
  if (!isObject(operation)) throw new Refused();
  const operate = operations.get(operation["op"]);
  if (!operate) throw new Refused();
  return operate(document, stepsOf(operation["path"]), operation);
}

/** kube-apiserver's library takes what is not there for null when it is tested, but not what cannot be reached. */
function valueAt(document: Json, path: readonly string[]): Json {
  try {
    return path.reduce<Json>(member, document);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return null;
  }
}

function modelled(target: JsonObject, patch: readonly Json[]): string {
  try {
    const result = patch.reduce<Json>(operated, target);
    return isObject(result) ? spelled(result) : "refused";
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return "refused";
  }
}

const escaped = (step: string): string => step.replaceAll("~", "~0").replaceAll("/", "~1");

function pathsOf(value: Json, path = ""): string[] {
  if (typeof value !== "object" || value === null) return [path];
  return [
    path,
    ...Object.entries(value).flatMap(([step, inner]) => pathsOf(inner, `${path}/${escaped(step)}`)),
  ];
}

/** Operations at places that are there, or nearly. */
function operationsOn(target: JsonObject): fc.Arbitrary<Json[]> {
  const there = fc.constantFrom(...pathsOf(target));
  const beside = fc.tuple(
    there,
    fc.oneof(key.map(escaped), fc.constantFrom("-", "0", "1", "2", "01", "1e0")),
  );
  const place = fc.oneof(
    { weight: 3, arbitrary: there },
    { weight: 2, arbitrary: beside.map(([above, step]) => `${above}/${step}`) },
  );
  const op = fc.constantFrom("add", "replace", "remove", "copy", "move", "test");
  return fc.array(
    fc.record({
      op,
      path: place,
      from: place,
      value: json,
    }) as fc.Arbitrary<Json>,
    {
      minLength: 1,
      maxLength: 6,
    },
  );
}

/** What a test of a place that cannot be reached makes of null is the library's own affair. */
function isTold(operation: Json): boolean {
  return !isObject(operation) || operation["op"] !== "test" || operation["value"] !== null;
}

fuzz("JSON patches", () =>
  fc.property(
    jsonObject.chain((target) => fc.tuple(fc.constant(target), operationsOn(target))),
    ([target, patch]) => {
      fc.pre(patch.every(isTold));
      expectSame(
        outcome(target, () => jsonPatch(target, patch)),
        modelled(target, patch),
      );
    },
  ),
);

fuzz("arbitrary JSON patches", () =>
  fc.property(jsonObject, fc.oneof(json, fc.array(json)), (target, patch) => {
    outcome(target, () => jsonPatch(target, patch));
  }),
);

/** RFC 7386, as it is written there. */
function merged(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const result = new Map(isObject(target) ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) result.delete(name);
    else result.set(name, merged(result.get(name), value));
  }
  return objectOf([...result]);
}

fuzz("merge patches", () =>
  fc.property(jsonObject, jsonObject, (target, patch) => {
    const given = JSON.stringify(patch);
    const once = outcome(target, () => mergePatch(target, patch));
    expectSame(once, spelled(merged(target, patch)));
    const result = mergePatch(target, patch);
    expectSame(
      outcome(result, () => mergePatch(result, patch)),
      once,
    );
    expectSame(JSON.stringify(patch), given);
  }),
);

function kindOf(apiVersion: string, name: string): KindInfo {
  const kind = findKind(apiVersion, name);
  if (kind === undefined) throw new Error(`no ${name}`);
  return kind;
}

const kinds = [
  kindOf("apps/v1", "Deployment"),
  kindOf("v1", "Pod"),
  kindOf("v1", "Node"),
  kindOf("v1", "Service"),
  kindOf("v1", "ConfigMap"),
];
const fields = [
  "metadata",
  "spec",
  "template",
  "containers",
  "env",
  "ports",
  "volumes",
  "name",
  "image",
  "labels",
  "finalizers",
  "taints",
  "conditions",
  "status",
  "type",
  "data",
  "tolerations",
  "containerPort",
  "$patch",
  "$retainKeys",
  "$setElementOrder/containers",
  "$setElementOrder/conditions",
  "$deleteFromPrimitiveList/finalizers",
  "__proto__",
  "constructor",
];
const shaped = fc.letrec<{ value: Json; object: JsonObject }>((tie) => ({
  value: fc.oneof(
    { depthSize: "medium", withCrossShrink: true },
    {
      weight: 2,
      arbitrary: fc.oneof(scalar, fc.constantFrom<Json>("replace", "delete", "merge", "a")),
    },
    { weight: 2, arbitrary: fc.array(tie("value"), { maxLength: 4 }) },
    { weight: 3, arbitrary: tie("object") },
  ),
  object: fc.array(fc.tuple(fc.constantFrom(...fields), tie("value")), { maxLength: 5 }).map(objectOf),
}));

fuzz("strategic merge patches", () =>
  fc.property(fc.constantFrom(...kinds), shaped.object, shaped.object, (kind, target, patch) => {
    const given = JSON.stringify(patch);
    const made = outcome(target, () => patchObject(kind, target, { type: "strategic", body: patch }));
    expectSame(JSON.stringify(patch), given);
    const most = spelled(target).length + 2 * spelled(patch).length;
    if (made.length > most) throw new Error(`${made.length} characters made of ${most}`);
  }),
);
