import { describe, expect, test } from "bun:test";
import { validateCrd, validateRules, validateValue } from "#cloud/kube-api/custom-resources";
import type { Json, JsonObject } from "#shared/json";

/* "Validation rules" of the Kubernetes documentation on custom resources, with its examples. */

const integer = { type: "integer" };
const text = { type: "string" };
const withRule = (properties: JsonObject, ...rules: JsonObject[]): JsonObject => ({
  type: "object",
  properties: { spec: { type: "object", properties, "x-kubernetes-validations": rules } },
});

function messages(schema: JsonObject, spec: Json, old?: Json): string[] {
  const before = old === undefined ? undefined : { spec: old };
  return validateRules(schema, { spec }, before).map(({ field, message }) => `${field}: ${message}`);
}

test.each<[string, JsonObject, Json]>([
  [
    "self.minReplicas <= self.replicas && self.replicas <= self.maxReplicas",
    { minReplicas: integer, replicas: integer, maxReplicas: integer },
    { minReplicas: 1, replicas: 2, maxReplicas: 3 },
  ],
  [
    "has(self.expired) && self.created + self.ttl < self.expired",
    { created: integer, ttl: integer, expired: integer },
    { created: 1, ttl: 2, expired: 4 },
  ],
  ["self.health.startsWith('ok')", { health: text }, { health: "ok so far" }],
  [
    "self.widgets.exists(w, w.key == 'x' && w.foo < 10)",
    { widgets: { type: "array", items: { type: "object", properties: { key: text, foo: integer } } } },
    { widgets: [{ key: "x", foo: 5 }] },
  ],
  [
    "self.set1.all(e, !(e in self.set2))",
    { set1: { type: "array", items: text }, set2: { type: "array", items: text } },
    { set1: ["a"], set2: ["b"] },
  ],
  [
    "size(self.names) == size(self.details) && self.names.all(n, n in self.details)",
    { names: { type: "array", items: text }, details: { type: "object", additionalProperties: text } },
    { names: ["a"], details: { a: "x" } },
  ],
  [
    "self.__namespace__ == 'a' && self.foo__dash__bar == 1",
    { namespace: text, "foo-bar": integer },
    { namespace: "a", "foo-bar": 1 },
  ],
  [
    "self.ratio > 0.5 && self.count * 2 == 4",
    { ratio: { type: "number" }, count: integer },
    { ratio: 0.75, count: 2 },
  ],
  [
    "self.name.matches('^[a-z]+$') && isURL(self.url) && url(self.url).getHost() == 'a.example.com'",
    { name: text, url: text },
    { name: "abc", url: "https://a.example.com/x" },
  ],
  ["quantity(self.size).isLessThan(quantity('10Gi'))", { size: text }, { size: "5Gi" }],
  [
    "self.list.isSorted() && self.list.sum() == 6 && self.list.max() == 3",
    { list: { type: "array", items: integer } },
    { list: [1, 2, 3] },
  ],
  ["self.?missing.orValue('x') == 'x'", { missing: text }, {}],
])("%s holds", (rule, properties, spec) => {
  expect(messages(withRule(properties, { rule }), spec)).toEqual([]);
});

describe("a rule that does not hold", () => {
  test("is refused with its message, at its path", () => {
    const rule = { rule: "self.replicas <= 3", message: "at most three", fieldPath: ".replicas" };
    expect(messages(withRule({ replicas: integer }, rule), { replicas: 5 })).toEqual([
      'spec.replicas: Invalid value: "object": at most three',
    ]);
  });

  test("is refused with the rule when it has no message, and with its expression when it has one", () => {
    const schema = withRule(
      { replicas: integer },
      { rule: "self.replicas < 3" },
      {
        rule: "self.replicas < 4",
        messageExpression: "'is ' + string(self.replicas)",
        reason: "FieldValueForbidden",
      },
    );
    expect(messages(schema, { replicas: 5 })).toEqual([
      'spec: Invalid value: "object": failed rule: self.replicas < 3',
      "spec: Forbidden: is 5",
    ]);
  });

  test("because it fails is refused with the reason", () => {
    const schema = withRule({ a: integer }, { rule: "self.b > 1" });
    expect(messages(schema, { a: 1 })).toEqual([
      'spec: Invalid value: "object": no such key: b evaluating rule: self.b > 1',
    ]);
  });
});

describe("a transition rule", () => {
  const schema = withRule(
    { name: text },
    { rule: "self.name == oldSelf.name", message: "name is immutable" },
  );

  test("is not for new objects", () => {
    expect(messages(schema, { name: "a" })).toEqual([]);
  });

  test("compares with the value before", () => {
    expect(messages(schema, { name: "a" }, { name: "a" })).toEqual([]);
    expect(messages(schema, { name: "b" }, { name: "a" })).toEqual([
      'spec: Invalid value: "object": name is immutable',
    ]);
  });

  test("finds items of a list by their keys", () => {
    const item = {
      type: "object",
      properties: { id: text, size: integer },
      "x-kubernetes-validations": [{ rule: "self.size >= oldSelf.size", message: "shrinks" }],
    };
    const list = {
      type: "array",
      "x-kubernetes-list-type": "map",
      "x-kubernetes-list-map-keys": ["id"],
      items: item,
    };
    const old = {
      list: [
        { id: "a", size: 1 },
        { id: "b", size: 5 },
      ],
    };
    expect(
      messages(
        withRule({ list }),
        {
          list: [
            { id: "b", size: 4 },
            { id: "c", size: 0 },
          ],
        },
        old,
      ),
    ).toEqual(['spec.list[0]: Invalid value: "object": shrinks']);
  });
});

describe("the work of rules is bounded", () => {
  const list = { type: "array", items: integer };
  const numbers = Array.from({ length: 3000 }, (_, index) => index);

  test.each([
    ["self.list.all(a, self.list.all(b, self.list.all(c, a + b + c >= 0)))", { list: numbers }],
    ["self.list.map(a, self.list.map(b, self.list.map(c, a))).size() > 0", { list: numbers }],
    ["self.list.all(a, !self.long.contains('zz'))", { list: numbers, long: "a".repeat(1_000_000) }],
    ["self.long.matches('^(a+)+$')", { list: [], long: `${"a".repeat(500_000)}b` }],
  ])("%s", (rule, spec) => {
    const [message = ""] = messages(withRule({ list, long: text }, { rule }), spec);
    expect(message).toMatch(/cost limit exceeded|failed rule/);
  });
});

test("a definition whose rule cannot be compiled is refused with its path", () => {
  const schema = withRule({ a: integer }, { rule: "self.a >" }, { rule: "other.a > 1" });
  const crd = {
    metadata: { name: "xs.lab.example.com" },
    spec: {
      group: "lab.example.com",
      scope: "Namespaced",
      names: { plural: "xs", singular: "x", kind: "X", listKind: "XList" },
      versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: schema } }],
    },
  };
  const path = "spec.versions[0].schema.openAPIV3Schema.properties[spec].x-kubernetes-validations";
  expect(validateCrd(crd).map(({ field, message }) => `${field}: ${message}`)).toEqual([
    expect.stringContaining(`${path}[0].rule: Invalid value: "self.a >": compilation failed: ERROR: `),
    expect.stringContaining(`${path}[1].rule: Invalid value: "other.a > 1": compilation failed: ERROR: `),
  ]);
});

describe("optionalOldSelf", () => {
  const schema = withRule(
    { size: integer },
    {
      rule: "oldSelf.hasValue() ? self.size >= oldSelf.value().size : self.size == 1",
      optionalOldSelf: true,
    },
  );

  test("has a rule hold for new objects too", () => {
    expect(messages(schema, { size: 1 })).toEqual([]);
    expect(messages(schema, { size: 2 })).toHaveLength(1);
    expect(messages(schema, { size: 2 }, { size: 1 })).toEqual([]);
    expect(messages(schema, { size: 1 }, { size: 2 })).toHaveLength(1);
  });
});

describe("a value that is as before", () => {
  test("need not meet a rule that is new, unless something beside it in the schema of the rule changes", () => {
    const schema = withRule({ size: integer, note: text }, { rule: "self.size < 3" });
    expect(messages(schema, { size: 5 }, { size: 5 })).toEqual([]);
    expect(messages(schema, { size: 5, note: "x" }, { size: 5 })).toHaveLength(1);
  });

  test("need not meet a schema that is new, also in a list with keys", () => {
    const item = { type: "object", properties: { name: text, size: { ...integer, maximum: 3 } } };
    const keyed = { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"] };
    const schema = { type: "object", properties: { items: { type: "array", items: item, ...keyed } } };
    const [old, other] = [
      { name: "a", size: 9 },
      { name: "b", size: 9 },
    ];
    expect(validateValue(schema, { items: [old] })).toHaveLength(1);
    expect(validateValue(schema, { items: [{ name: "c", size: 1 }, old] }, { items: [old] })).toEqual([]);
    expect(
      validateValue(schema, { items: [old, other] }, { items: [old] }).map(({ field }) => field),
    ).toEqual(["items[1].size"]);
  });
});

describe("a definition", () => {
  const definition = (spec: JsonObject): JsonObject => ({
    metadata: { name: "things.example.com" },
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural: "things", singular: "thing", kind: "Thing", listKind: "ThingList" },
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: "object", properties: { spec } } },
        },
      ],
    },
  });
  const problems = (spec: JsonObject): string[] =>
    validateCrd(definition(spec)).map(
      ({ field, message }) => `${field.split("properties[spec]")[1]}: ${message}`,
    );
  const first = ".x-kubernetes-validations[0]";
  const withRules = (...rules: JsonObject[]): JsonObject => ({
    type: "object",
    properties: {
      size: integer,
      names: { type: "array", items: { type: "object", properties: { id: text } } },
    },
    "x-kubernetes-validations": rules,
  });

  test("is refused for fields and variables that are not declared", () => {
    expect(problems(withRules({ rule: "self.sizes > 1" }))).toEqual([
      `${first}.rule: Invalid value: "self.sizes > 1": compilation failed: ERROR: <input>:1:5: undefined field 'sizes'\n | self.sizes > 1\n | ....^`,
    ]);
    expect(problems(withRules({ rule: "self.names.all(n, n.ids == '')" }))[0]).toContain(
      "undefined field 'ids'",
    );
    expect(problems(withRules({ rule: "other.size > 1" }))[0]).toContain(
      "<input>:1:1: undeclared reference to 'other' (in container '')",
    );
    expect(problems(withRules({ rule: "self.names.all(n, n.id != '') && has(self.size)" }))).toEqual([]);
  });

  test("is refused for rules of the wrong type and shape", () => {
    expect(problems(withRules({ rule: "'text'" }))).toEqual([
      `${first}.rule: Invalid value: "'text'": cel expression must evaluate to a bool`,
    ]);
    expect(problems(withRules({ rule: "true", messageExpression: "1" }))[0]).toContain(
      "messageExpression must evaluate to a string",
    );
    expect(problems(withRules({ rule: "true", reason: "Because" }))[0]).toContain(
      `${first}.reason: Unsupported value`,
    );
    expect(problems(withRules({ rule: "true", fieldPath: ".gone" }))).toEqual([
      `${first}.fieldPath: Invalid value: ".gone": fieldPath must be a valid path`,
    ]);
    expect(problems(withRules({ rule: "true", fieldPath: "['size']" }))).toEqual([]);
    expect(problems(withRules({ rule: "true", optionalOldSelf: true }))[0]).toContain(
      "may not be set if oldSelf is not used in rule",
    );
  });

  test("is refused for transition rules of items without identity", () => {
    const item = {
      type: "object",
      properties: { id: text },
      required: ["id"],
      "x-kubernetes-validations": [{ rule: "self == oldSelf" }],
    };
    const list = (more: object): JsonObject => ({
      type: "object",
      properties: { names: { type: "array", items: item, ...more } as JsonObject },
    });
    const keyed = { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"] };
    expect(problems(list({}))[0]).toContain(
      "oldSelf cannot be used on the uncorrelatable portion of the schema",
    );
    expect(problems(list(keyed))).toEqual([]);
  });
});
