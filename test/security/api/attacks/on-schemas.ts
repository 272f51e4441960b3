import { crds, list, record, type Attack } from "./attack.ts";

let kinds = 0;

/** An attack on the schema of a custom kind: the definition is made first, the object is the attack. */
function onSchema(name: string, schema: object, spec: () => unknown, answers: readonly number[]): Attack {
  kinds += 1;
  const plural = `costs${kinds}`;
  const path = `/apis/attack.example.com/v1/namespaces/default/${plural}`;
  const object = (inner: unknown): object => ({
    apiVersion: "attack.example.com/v1",
    kind: plural,
    metadata: { name: "x" },
    spec: inner,
  });
  return {
    name,
    prepare: (cloud) => cloud.must("POST", crds, definition(plural, schema)),
    run: (cloud) => cloud.call("POST", path, object(spec())),
    answers,
  };
}

const distinctItems = (): object[] => list(100_000, (index) => ({ k0: `${index}` }));

/** The same, by server-side apply. */
function onApplied(name: string, schema: object, spec: () => unknown, answers: readonly number[]): Attack {
  const attack = onSchema(name, schema, spec, answers);
  const plural = `costs${kinds}`;
  const path = `/apis/attack.example.com/v1/namespaces/default/${plural}/x?fieldManager=me`;
  const run: Attack["run"] = (cloud) => {
    const body = { apiVersion: "attack.example.com/v1", kind: plural, metadata: { name: "x" }, spec: spec() };
    return cloud.call("PATCH", path, body, { type: "application/apply-patch+yaml" });
  };
  return { ...attack, run };
}

/** A list whose items have `count` keys, each with a default. */
function manyKeys(count: number): object {
  const properties = record(count, () => ({ type: "string", default: "default" }));
  const items = { type: "object", properties };
  const names = Object.keys(properties);
  return { type: "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": names, items };
}

function definition(plural: string, spec: object, columns: readonly object[] = []): object {
  const version = {
    name: "v1",
    served: true,
    storage: true,
    schema: { openAPIV3Schema: { type: "object", properties: { spec } } },
    ...(columns.length > 0 && { additionalPrinterColumns: columns }),
  };
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.attack.example.com` },
    spec: {
      group: "attack.example.com",
      scope: "Namespaced",
      names: { plural, singular: plural, kind: plural, listKind: `${plural}list` },
      versions: [version],
    },
  };
}

/** Two items a level by default: 2^depth of them in the end. */
function doublingDefaults(depth: number): object {
  let schema: object = { type: "string" };
  for (let level = 0; level < depth; level += 1)
    schema = {
      type: "array",
      default: [{}, {}],
      items: { type: "object", properties: { a: schema } },
    };
  return { type: "object", properties: { a: schema } };
}

export const schemaAttacks: Attack[] = [
  {
    name: "a printer column whose path is 40,000 characters long",
    run: (cloud) => {
      const columns = [{ name: "a", type: "string", jsonPath: `.spec[?(@${" ".repeat(40_000)}y)]` }];
      return cloud.call("POST", crds, definition("wordy", { type: "object" }, columns));
    },
    answers: [422],
  },
  onSchema(
    "a CRD pattern that backtracks",
    { type: "string", pattern: "^x*x*x*x*x*x*x*x*y$" },
    () => "x".repeat(3000),
    [422],
  ),
  onSchema(
    "a CRD pattern with nested repetition",
    { type: "string", pattern: "^(([a-z])+.)+[A-Z]([a-z])+$" },
    () => "a".repeat(60),
    [422],
  ),
  onSchema(
    "a long value for a CRD pattern of many states",
    { type: "string", pattern: "(?i)[\\pL\\pN]*a[\\pL]{700}z$" },
    () => "ab".repeat(500_000),
    [422],
  ),
  onSchema(
    "a CRD default of 10 kB for each of 100,000 items",
    {
      type: "array",
      items: { type: "object", properties: { a: { type: "string", default: "x".repeat(10_000) } } },
    },
    () => list(100_000, () => ({})),
    [413, 422],
  ),
  onSchema("CRD defaults that double 40 times", doublingDefaults(40), () => ({}), [413, 422]),
  onSchema(
    "100,000 values for an enum of 20,000 choices",
    { type: "array", items: { type: "string", enum: list(20_000, (index) => `choice-${index}`) } },
    () => list(100_000, () => "choice-19999"),
    [201, 422],
  ),
  onSchema(
    "100,000 values that none of 3,000 alternatives allows",
    { type: "array", items: { type: "integer", anyOf: list(3000, (index) => ({ minimum: index + 10 })) } },
    () => list(100_000, () => 1),
    [422],
  ),
  onSchema(
    "100,000 objects of which each lacks 5,000 required fields",
    {
      type: "array",
      items: {
        type: "object",
        properties: record(5000, () => ({ type: "string" })),
        required: list(5000, (index) => `k${index}`),
      },
    },
    () => list(100_000, () => ({})),
    [422],
  ),
  onSchema(
    "a set of 100,000 values, all the same",
    { type: "array", "x-kubernetes-list-type": "set", items: { type: "string" } },
    () => list(100_000, () => "same"),
    [422],
  ),
  onSchema("100,000 items of 3,000 keys with defaults", manyKeys(3000), distinctItems, [413, 422]),
  onApplied("100,000 applied items of 3,000 keys with defaults", manyKeys(3000), distinctItems, [400, 413]),
  onApplied(
    "100,000 applied items with the same key",
    manyKeys(1),
    () => list(100_000, () => ({ k0: "same" })),
    [400],
  ),
  {
    name: "a CRD with 10,000 patterns of 5,000 states each",
    run: (cloud) => {
      const properties = record(10_000, (index) => ({ type: "string", pattern: `(a?b?){900}${index}` }));
      return cloud.call("POST", crds, definition("patterns", { type: "object", properties }));
    },
    answers: [422],
  },
  {
    name: "a printer column whose path backtracks",
    prepare: async (cloud) => {
      const jsonPath = `.spec[?(@${" ".repeat(2000)}x${" ".repeat(2000)}y`;
      const columns = [{ name: "a", type: "string", jsonPath: `${jsonPath})]` }];
      await cloud.must("POST", crds, definition("columned", { type: "object" }, columns));
      const object = {
        apiVersion: "attack.example.com/v1",
        kind: "columned",
        metadata: { name: "x" },
        spec: {},
      };
      await cloud.must("POST", "/apis/attack.example.com/v1/namespaces/default/columned", object);
    },
    run: (cloud) =>
      cloud.call("GET", "/apis/attack.example.com/v1/namespaces/default/columned", undefined, {
        accept: "application/json;as=Table;v=v1;g=meta.k8s.io",
      }),
    answers: [200, 422],
  },
];
