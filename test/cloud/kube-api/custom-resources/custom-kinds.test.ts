import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import {
  admitCreate,
  admitUpdate,
  compareApiVersions,
  decodeBody,
  establishCrd,
  findKind,
  kindsOfCrd,
  tableCells,
  tableColumns,
  type KindInfo,
} from "#cloud/kube-api/kinds";
import { defaultObject, pruneObject, validateLists, validateValue } from "#cloud/kube-api/custom-resources";
import type { Json, JsonObject } from "#shared/json";

const now = "2026-01-01T00:00:00Z";

const crd = (schema: JsonObject, more: JsonObject = {}): JsonObject => ({
  metadata: { name: "gauges.lab.example.com" },
  spec: {
    group: "lab.example.com",
    scope: "Namespaced",
    names: { plural: "gauges", kind: "Gauge" },
    versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: schema }, ...more }],
  },
});

const plain: JsonObject = { type: "object" };

function admitCrd(body: JsonObject): JsonObject | string[] {
  const info = findKind("apiextensions.k8s.io/v1", "CustomResourceDefinition");
  if (info === undefined) throw new Error("no CustomResourceDefinition");
  const decoded = decodeBody(info, structuredClone(body), { validation: "Strict" });
  if (!decoded.ok) return [decoded.status.message ?? ""];
  const admitted = admitCreate(info, decoded.value, { now });
  if (admitted.ok) return admitted.value;
  return (admitted.status.details?.causes ?? []).map(({ field, message }) => `${field}: ${message}`);
}

function kindOf(schema: JsonObject, more: JsonObject = {}): KindInfo {
  const [kind] = kindsOfCrd(admitCrd(crd(schema, more)) as JsonObject);
  if (kind === undefined) throw new Error("no kind");
  return kind;
}

describe("a definition", () => {
  test("is established with its names", () => {
    const made = establishCrd(admitCrd(crd(plain)) as JsonObject, [], now);
    expect(made.status).toEqual({
      conditions: [
        {
          type: "NamesAccepted",
          status: "True",
          lastTransitionTime: now,
          reason: "NoConflicts",
          message: "no conflicts found",
        },
        {
          type: "Established",
          status: "True",
          lastTransitionTime: now,
          reason: "InitialNamesAccepted",
          message: "the initial names have been accepted",
        },
      ],
      acceptedNames: { plural: "gauges", kind: "Gauge", singular: "gauge", listKind: "GaugeList" },
      storedVersions: ["v1"],
    });
  });

  test("is not established when another kind has its name", () => {
    const made = establishCrd(admitCrd(crd(plain)) as JsonObject, [kindOf(plain)], now);
    expect(made.status).toMatchObject({
      conditions: [
        { type: "NamesAccepted", status: "False", reason: "PluralConflict" },
        { type: "Established", status: "False" },
      ],
    });
  });

  test.each([
    [
      { ...crd(plain), metadata: { name: "x.y" } },
      ['metadata.name: Invalid value: "x.y": must be spec.names.plural+"."+spec.group'],
    ],
    [
      crd({ type: "object", properties: { a: {} } }),
      [
        "spec.versions[0].schema.openAPIV3Schema.properties[a].type: Required value: must not be empty for specified object fields",
      ],
    ],
    [
      crd({ type: "object", properties: { a: { type: "string", pattern: "(" } } }),
      [
        'spec.versions[0].schema.openAPIV3Schema.properties[a].pattern: Invalid value: "(": must be a valid regular expression, but isn\'t: error parsing regexp: missing closing ): `(`',
      ],
    ],
    [
      crd(plain, { storage: false }),
      ["spec.versions: Invalid value: []: must have exactly one version marked as storage version"],
    ],
  ] as [JsonObject, string[]][])("is refused with its causes: %#", (body, causes) => {
    expect(admitCrd(body)).toEqual(causes);
  });

  test("orders versions by priority", () => {
    const versions = ["v1alpha1", "v1", "foo", "v2beta1", "v10", "v2"];
    expect(versions.toSorted(compareApiVersions)).toEqual(["v10", "v2", "v1", "v2beta1", "v1alpha1", "foo"]);
  });
});

describe("pruning", () => {
  const schema: JsonObject = {
    type: "object",
    properties: {
      known: { type: "object", properties: { a: { type: "integer" } } },
      free: {
        type: "object",
        "x-kubernetes-preserve-unknown-fields": true,
        properties: { deep: { type: "object" } },
      },
      map: {
        type: "object",
        additionalProperties: { type: "object", properties: { a: { type: "integer" } } },
      },
      list: { type: "array", items: { type: "object", properties: { a: { type: "integer" } } } },
      whole: { type: "object", "x-kubernetes-embedded-resource": true },
    },
  };

  test("drops unspecified fields and returns their paths", () => {
    const object: JsonObject = {
      apiVersion: "g/v1",
      metadata: { name: "x" },
      known: { a: 1, b: 2 },
      free: { any: 1, deep: { gone: 1 } },
      map: { k: { a: 1, b: 2 } },
      list: [{ a: 1, b: 2 }],
      whole: { kind: "Pod", metadata: {}, spec: {} },
      extra: 1,
    };
    const { unknown } = pruneObject(schema, object);
    expect(unknown).toEqual(["known.b", "free.deep.gone", "map.k.b", "list[0].b", "whole.spec", "extra"]);
    expect(object).toEqual({
      apiVersion: "g/v1",
      metadata: { name: "x" },
      known: { a: 1 },
      free: { any: 1, deep: {} },
      map: { k: { a: 1 } },
      list: [{ a: 1 }],
      whole: { kind: "Pod", metadata: {} },
    });
  });

  test("drops nothing the second time", () => {
    const names = fc.constantFrom("known", "free", "map", "list", "whole", "a", "b", "deep");
    const tree = fc.letrec<{ node: Json }>((tie) => ({
      node: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom<Json>(1, "x", null),
        fc.array(tie("node"), { maxLength: 3 }),
        fc.dictionary(names, tie("node")),
      ),
    })).node;
    fc.assert(
      fc.property(fc.dictionary(names, tree), (object) => {
        pruneObject(schema, object);
        expect(pruneObject(schema, object).unknown).toEqual([]);
      }),
    );
  });
});

describe("defaults of a schema", () => {
  test("fill in absent fields at any depth, and replace nulls", () => {
    const schema: JsonObject = {
      type: "object",
      properties: {
        a: { type: "object", default: {}, properties: { b: { type: "integer", default: 3 } } },
        list: {
          type: "array",
          items: { type: "object", properties: { c: { type: "string", default: "x" } } },
        },
        n: { type: "string", default: "d" },
        nullable: { type: "string", nullable: true, default: "d" },
      },
    };
    const object: JsonObject = { list: [{}, { c: "y" }], n: null, nullable: null };
    defaultObject(schema, object);
    expect(object).toEqual({ list: [{ c: "x" }, { c: "y" }], n: "d", nullable: null, a: { b: 3 } });
  });
});

describe("a custom resource's values", () => {
  test.each([
    [
      { type: "integer", minimum: 1 },
      0,
      ["f: Invalid value: 0: f in body should be greater than or equal to 1"],
    ],
    [
      { type: "integer", maximum: 1, exclusiveMaximum: true },
      1,
      ["f: Invalid value: 1: f in body should be less than 1"],
    ],
    [{ type: "string", pattern: "^a+$" }, "b", [`f: Invalid value: "b": f in body should match '^a+$'`]],
    [
      { type: "string", minLength: 2 },
      "b",
      [`f: Invalid value: "b": f in body should be at least 2 chars long`],
    ],
    [{ type: "string", maxLength: 1 }, "bb", ["f: Too long: may not be longer than 1"]],
    [
      { type: "string", format: "date-time" },
      "x",
      ['f: Invalid value: "x": f in body must be of type date-time: "x"'],
    ],
    [{ type: "string", enum: ["a", "b"] }, "c", ['f: Unsupported value: "c": supported values: "a", "b"']],
    [{ type: "number" }, 1.5, []],
    [{ type: "number" }, "1", ['f: Invalid value: "string": f in body must be of type number: "string"']],
    [{ "x-kubernetes-int-or-string": true }, "5%", []],
    [
      { "x-kubernetes-int-or-string": true },
      true,
      ['f: Invalid value: true: f in body must be of type integer,string: "boolean"'],
    ],
    [
      { type: "array", items: { type: "string" }, "x-kubernetes-list-type": "set" },
      ["a", "a"],
      ['f[1]: Duplicate value: "a"'],
    ],
    [
      { type: "array", items: { type: "string" }, minItems: 1 },
      [],
      ["f: Invalid value: 0: f in body should have at least 1 items"],
    ],
    [{ type: "string", nullable: true }, null, []],
    [{ type: "object", required: ["a"], properties: { a: { type: "string" } } }, {}, ["f.a: Required value"]],
    [
      { type: "integer", not: { enum: [3] } },
      3,
      ["f: Invalid value: 3: f in body must not validate the schema (not)"],
    ],
    [
      { type: "integer", anyOf: [{ minimum: 5 }, { maximum: 1 }] },
      3,
      ["f: Invalid value: 3: f in body must validate at least one schema (anyOf)"],
    ],
    [
      { type: "integer", oneOf: [{ minimum: 1 }, { maximum: 5 }] },
      3,
      [
        "f: Invalid value: 3: f in body must validate one and only one schema (oneOf). Found 2 valid alternatives",
      ],
    ],
  ] as [JsonObject, Json, string[]][])("are validated by %j: %j", (schema, value, want) => {
    const whole = { type: "object", properties: { f: schema } };
    const errors = [...validateValue(whole, { f: value }), ...validateLists(whole, { f: value })];
    expect(errors.map(({ field, message }) => `${field}: ${message}`)).toEqual(want);
  });
});

describe("a custom kind", () => {
  test("has its own columns, or its age by default", () => {
    const columns = [
      { name: "State", type: "string", jsonPath: ".status.conditions[?(@.type=='Ready')].status" },
      { name: "Size", type: "integer", jsonPath: ".spec.size" },
      { name: "Since", type: "date", jsonPath: ".metadata.creationTimestamp" },
    ];
    const object: JsonObject = {
      metadata: { name: "g", creationTimestamp: "2026-01-01T00:00:00Z" },
      spec: { size: 3 },
      status: { conditions: [{ type: "Ready", status: "True" }] },
    };
    const nowMs = Date.parse("2026-01-01T00:01:00Z");
    const kind = kindOf(plain, { additionalPrinterColumns: columns });
    expect([tableColumns(kind).map(({ name }) => name), tableCells(kind, object, nowMs)]).toEqual([
      ["Name", "State", "Size", "Since"],
      ["g", "True", 3, "60s"],
    ]);
    expect(tableCells(kindOf(plain), object, nowMs)).toEqual(["g", "60s"]);
  });

  test("advances its generation when a number becomes zero", () => {
    const kind = kindOf({
      type: "object",
      properties: { spec: { type: "object", properties: { n: { type: "integer" } } } },
    });
    const current: JsonObject = { metadata: { name: "g", namespace: "d", generation: 4 }, spec: {} };
    const outcome = admitUpdate(kind, {
      next: { ...current, metadata: { name: "g", namespace: "d" }, spec: { n: 0 } },
      current,
      via: "",
    });
    expect(outcome.ok && outcome.value.metadata).toEqual({ name: "g", namespace: "d", generation: 5 });
  });

  test("serves the subresources of its definition", () => {
    const subresources = {
      status: {},
      scale: { specReplicasPath: ".spec.n", statusReplicasPath: ".status.n" },
    };
    expect(kindOf(plain, { subresources }).subresources.map(({ name }) => name)).toEqual(["status", "scale"]);
  });
});
