import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { findKind } from "#cloud/kube-api/kinds";
import { strategicMerge } from "#cloud/kube-api/patch";
import type { Json, JsonObject } from "#shared/json";

function merge(apiVersion: string, kind: string, objects: { current: JsonObject; patch: JsonObject }): Json {
  const info = findKind(apiVersion, kind);
  if (info === undefined) throw new Error(`no ${kind}`);
  const outcome = strategicMerge(info, objects.current, objects.patch);
  return outcome.ok ? outcome.value : (outcome.status.message ?? "");
}

const deployment = (containers: Json[], more: JsonObject = {}): JsonObject => ({
  spec: { template: { spec: { containers } }, ...more },
});

interface Case {
  name: string;
  kind?: [string, string];
  current: JsonObject;
  patch: JsonObject;
  want: Json;
}

const cases: Case[] = [
  {
    name: "a container is merged by name",
    current: deployment([
      { name: "a", image: "1" },
      { name: "b", image: "2" },
    ]),
    patch: deployment([{ name: "b", image: "3" }]),
    want: deployment([
      { name: "a", image: "1" },
      { name: "b", image: "3" },
    ]),
  },
  {
    name: "a new container has no place of its own and comes first",
    current: deployment([{ name: "a", image: "1" }]),
    patch: deployment([{ name: "b", image: "3" }]),
    want: deployment([
      { name: "b", image: "3" },
      { name: "a", image: "1" },
    ]),
  },
  {
    name: "$patch delete takes an item away",
    current: deployment([{ name: "a" }, { name: "b" }]),
    patch: deployment([{ name: "a", $patch: "delete" }]),
    want: deployment([{ name: "b" }]),
  },
  {
    name: "$patch replace in a list replaces the list",
    current: deployment([{ name: "a" }, { name: "b" }]),
    patch: deployment([{ $patch: "replace" }, { name: "c" }]),
    want: deployment([{ name: "c" }]),
  },
  {
    name: "$patch replace in an object replaces the object",
    current: { spec: { strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1 } } } },
    patch: { spec: { strategy: { $patch: "replace", type: "Recreate" } } },
    want: { spec: { strategy: { type: "Recreate" } } },
  },
  {
    name: "$retainKeys drops the other keys",
    current: { spec: { strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1 } } } },
    patch: { spec: { strategy: { $retainKeys: ["type"], type: "Recreate" } } },
    want: { spec: { strategy: { type: "Recreate" } } },
  },
  {
    name: "$setElementOrder orders what it names",
    current: deployment([{ name: "a" }, { name: "b" }, { name: "c" }]),
    patch: {
      spec: {
        template: {
          spec: {
            "$setElementOrder/containers": [{ name: "c" }, { name: "a" }, { name: "b" }],
            containers: [{ name: "c", image: "x" }],
          },
        },
      },
    },
    want: deployment([{ name: "c", image: "x" }, { name: "a" }, { name: "b" }]),
  },
  {
    name: "$deleteFromPrimitiveList takes finalizers away",
    current: { metadata: { finalizers: ["a/1", "b/2"] } },
    patch: { metadata: { "$deleteFromPrimitiveList/finalizers": ["a/1"] } },
    want: { metadata: { finalizers: ["b/2"] } },
  },
  {
    name: "finalizers are merged as a set",
    current: { metadata: { finalizers: ["a/1"] } },
    patch: { metadata: { finalizers: ["a/1", "b/2"] } },
    want: { metadata: { finalizers: ["a/1", "b/2"] } },
  },
  {
    name: "a list without a merge key is replaced",
    current: deployment([{ name: "a", args: ["1", "2"] }]),
    patch: deployment([{ name: "a", args: ["3"] }]),
    want: deployment([{ name: "a", args: ["3"] }]),
  },
  {
    name: "null takes a field away",
    current: { metadata: { labels: { a: "1", b: "2" } } },
    patch: { metadata: { labels: { a: null, c: "3" } } },
    want: { metadata: { labels: { b: "2", c: "3" } } },
  },
  {
    name: "conditions of a node come merged as its kubelet patches them",
    kind: ["v1", "Node"],
    current: {
      status: {
        conditions: [
          { type: "Ready", status: "True", reason: "r" },
          { type: "DiskPressure", status: "False" },
        ],
      },
    },
    patch: {
      status: {
        "$setElementOrder/conditions": [{ type: "DiskPressure" }, { type: "Ready" }],
        conditions: [{ type: "Ready", status: "False" }],
      },
    },
    want: {
      status: {
        conditions: [
          { type: "DiskPressure", status: "False" },
          { type: "Ready", status: "False", reason: "r" },
        ],
      },
    },
  },
  {
    name: "an item without its merge key is refused",
    current: deployment([{ name: "a" }]),
    patch: deployment([{ image: "x" }]),
    want: 'map: {"image":"x"} does not contain declared merge key: name',
  },
];

describe("strategic merge", () => {
  test.each(cases.map((one) => [one.name, one] as const))("%s", (_name, { kind, current, patch, want }) => {
    const [apiVersion, name] = kind ?? ["apps/v1", "Deployment"];
    expect(merge(apiVersion, name, { current, patch })).toEqual(want);
  });

  test("keeps a key called __proto__ and changes no prototype", () => {
    const patch = JSON.parse(
      '{"__proto__":{"polluted":1},"metadata":{"labels":{"__proto__":"a","constructor":"b"}}}',
    ) as JsonObject;
    const merged = merge("apps/v1", "Deployment", { current: { metadata: {} }, patch });
    expect([JSON.stringify(merged), ({} as JsonObject).polluted]).toEqual([
      '{"metadata":{"labels":{"__proto__":"a","constructor":"b"}},"__proto__":{"polluted":1}}',
      undefined,
    ]);
  });

  test("is refused for custom kinds", () => {
    const info = findKind("apps/v1", "Deployment");
    if (info === undefined) throw new Error("no Deployment");
    const custom = {
      ...info,
      custom: {
        crdName: "x",
        storageVersion: "v1",
        schema: {},
        schemas: new Map(),
        preserveUnknownFields: false,
        columns: [],
        selectable: [],
        status: false,
      },
    };
    expect(strategicMerge(custom, {}, {})).toMatchObject({
      ok: false,
      status: { code: 415, reason: "UnsupportedMediaType" },
    });
  });

  const text = fc.constantFrom("a", "b", "c", "d");
  const uniqueBy = (key: string, item: fc.Arbitrary<JsonObject>): fc.Arbitrary<JsonObject[]> =>
    fc.uniqueArray(item, { selector: (one) => one[key], maxLength: 4 });
  const port: fc.Arbitrary<JsonObject> = fc.record({
    containerPort: fc.integer({ min: 1, max: 5 }),
    protocol: fc.constantFrom("TCP"),
  });
  const container: fc.Arbitrary<JsonObject> = fc.record({
    name: text,
    image: text,
    env: uniqueBy("name", fc.record({ name: text, value: text })),
    ports: uniqueBy("containerPort", port),
    args: fc.array(text, { maxLength: 3 }),
  });
  const object: fc.Arbitrary<JsonObject> = fc
    .record({
      containers: uniqueBy("name", container),
      labels: fc.dictionary(text, text),
      finalizers: fc.uniqueArray(text),
    })
    .map(({ containers, labels, finalizers }) => ({
      metadata: { labels, finalizers },
      spec: { template: { spec: { containers } } },
    }));

  test("changes nothing when the patch is the object itself", () => {
    fc.assert(
      fc.property(object, (current) => {
        expect(merge("apps/v1", "Deployment", { current, patch: structuredClone(current) })).toEqual(current);
      }),
    );
  });

  test("changes nothing the second time when applied twice", () => {
    fc.assert(
      fc.property(object, object, (current, patch) => {
        const once = merge("apps/v1", "Deployment", { current, patch });
        expect(merge("apps/v1", "Deployment", { current: once as JsonObject, patch })).toEqual(once);
      }),
    );
  });

  test("does not change the object it is applied to", () => {
    fc.assert(
      fc.property(object, object, (current, patch) => {
        const before = structuredClone(current);
        merge("apps/v1", "Deployment", { current, patch });
        expect(current).toEqual(before);
      }),
    );
  });
});
