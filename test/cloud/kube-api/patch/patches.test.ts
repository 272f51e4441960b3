import { expect, test } from "bun:test";
import type { ManagedEntry } from "#internal/cloud/kube-api/patch/managed-fields.ts";
import { findKind } from "#cloud/kube-api/kinds";
import { serverSideApply, trackUpdate, type ApplyOptions } from "#cloud/kube-api/patch";
import type { JsonObject } from "#shared/json";
import { jsonPatch, mergePatch, PatchError } from "#shared/patch";

test.each([
  [{ a: "b" }, { a: "c" }, { a: "c" }],
  [{ a: "b" }, { a: null }, {}],
  [{ a: { b: 1, c: 2 } }, { a: { b: null } }, { a: { c: 2 } }],
  [{ a: [1] }, { a: [2] }, { a: [2] }],
  [{ a: "x" }, { a: { b: null, c: 1 } }, { a: { c: 1 } }],
])("merge patch of %p with %p gives %p", (target, patch, expected) => {
  expect(mergePatch(target, patch)).toEqual(expected);
});

test("JSON patch does not change its target", () => {
  const target = { data: { a: "1" } };
  expect(jsonPatch(target, [{ op: "replace", path: "/data/a", value: "2" }])).toEqual({ data: { a: "2" } });
  expect(target).toEqual({ data: { a: "1" } });
});

test.each([
  [[{ op: "test", path: "/data/a", value: "2" }]],
  [[{ op: "remove", path: "/data/none" }]],
  [[{ op: "nonsense", path: "/data" }]],
  [[{ op: "replace", path: "", value: 3 }]],
  [{ not: "a list" }],
])("JSON patch %p is refused", (patch) => {
  expect(() => jsonPatch({ data: { a: "1" } }, patch)).toThrow();
});

test("apply merges the oldest managers when an object is updated under ever new names", () => {
  const kind = findKind("v1", "ConfigMap");
  if (!kind) throw new Error("no ConfigMaps");
  const options = (manager: string, second: number): ApplyOptions => ({
    kind,
    manager,
    force: false,
    apiVersion: "v1",
    now: `2026-01-01T00:00:${String(second).padStart(2, "0")}Z`,
  });
  let object = serverSideApply(
    undefined,
    { metadata: { name: "m" }, data: { k: "v" } },
    options("applier", 0),
  );
  for (let index = 0; index < 30; index += 1) {
    const next = structuredClone(object);
    next["data"] = { ...(next["data"] as JsonObject), [`k${index}`]: "v" };
    object = trackUpdate(object, next, options(`m${index}`, index));
  }
  const entries = (object["metadata"] as JsonObject)["managedFields"] as unknown as ManagedEntry[];
  expect(entries.map(({ manager }) => manager).toSorted()).toEqual(
    ["ancient-changes", "applier", ...Array.from({ length: 9 }, (_, index) => `m${index + 21}`)].toSorted(),
  );
  const ancient = entries.find(({ manager }) => manager === "ancient-changes");
  expect(Object.keys((ancient?.fieldsV1["f:data"] ?? {}) as object)).toHaveLength(21);
});

test("JSON patch moves, copies and replaces as RFC 6902", () => {
  const target = { list: ["a", "b"], object: { "x/y": 1, "~": 2 }, kept: null };
  const result = jsonPatch(target, [
    { op: "test", path: "/object/x~1y", value: 1 },
    { op: "replace", path: "/object/~0", value: 3 },
    { op: "add", path: "/list/-", value: "c" },
    { op: "move", from: "/list/0", path: "/list/2" },
    { op: "copy", from: "/object", path: "/copied" },
    { op: "remove", path: "/object/x~1y" },
    { op: "test", path: "/missing", value: null },
  ]);
  expect(result).toEqual({
    list: ["b", "c", "a"],
    object: { "~": 3 },
    copied: { "x/y": 1, "~": 3 },
    kept: null,
  });
});

test.each([
  [{ op: "add", path: "/list/5", value: 1 }],
  [{ op: "add", path: "/list/01", value: 1 }],
  [{ op: "remove", path: "/list/-" }],
  [{ op: "add", path: "/missing/x", value: 1 }],
  [{ op: "add", path: "no-slash", value: 1 }],
  [{ op: "add", path: "/x" }],
  [{ op: "move", from: "/object", path: "/object/inside" }],
  [{ op: "copy", from: "/missing", path: "/x" }],
  [{ op: "test", path: "/constructor", value: {} }],
  ["no operation"],
])("JSON patch operation %p is refused", (operation) => {
  expect(() => jsonPatch({ list: [], object: {} }, [operation])).toThrow(PatchError);
});
