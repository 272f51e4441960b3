import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { builtinKinds, decodeBody, findKind, type KindInfo } from "#cloud/kube-api/kinds";
import type { Json } from "#shared/json";

function kindOf(apiVersion: string, kind: string): KindInfo {
  const found = findKind(apiVersion, kind);
  if (found === undefined) throw new Error(`no ${kind}`);
  return found;
}

const pod = kindOf("v1", "Pod");
const lease = kindOf("coordination.k8s.io/v1", "Lease");

function decode(
  kind: KindInfo,
  body: Json,
  validation: "Strict" | "Warn" | "Ignore" = "Warn",
): string | readonly string[] {
  const outcome = decodeBody(kind, structuredClone(body), { validation });
  return outcome.ok ? outcome.warnings : (outcome.status.message ?? "");
}

describe("decoding", () => {
  test("names unknown fields by their path with Warn", () => {
    const body = {
      spec: { containers: [{ name: "a", foo: 1 }], bar: true },
      metadata: { nope: 1 },
    };
    expect(decode(pod, body)).toEqual([
      'unknown field "spec.containers[0].foo"',
      'unknown field "spec.bar"',
      'unknown field "metadata.nope"',
    ]);
  });

  test("refuses unknown fields with the text of the server with Strict", () => {
    expect(decode(pod, { spec: { foo: 1 }, x: 1 }, "Strict")).toBe(
      'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.foo", unknown field "x"',
    );
  });

  test.each([
    [
      { spec: { containers: [{ ports: [{ containerPort: "80" }] }] } },
      "json: cannot unmarshal string into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32",
    ],
    [
      { spec: { containers: [{ env: [{ name: "A", value: 1 }] }] } },
      "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string",
    ],
    [{ spec: "x" }, "json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec"],
    [
      { metadata: { labels: { a: true } } },
      "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
    ],
    [
      { spec: { containers: { name: "a" } } },
      "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
    ],
    [
      { spec: { containers: [{ resources: { limits: { cpu: "much" } } }] } },
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    ],
  ] as [Json, string][])("refuses a wrong type with the text of Go's decoder: %j", (body, text) => {
    expect(decode(pod, body)).toBe(`Pod in version "v1" cannot be handled as a Pod: ${text}`);
  });

  test("makes quantities and times canonical and drops empty fields", () => {
    const body = {
      metadata: {
        labels: {},
        creationTimestamp: "2026-01-01T02:00:00+02:00",
        finalizers: [],
        annotations: null,
      },
      spec: {
        containers: [
          {
            name: "a",
            command: [],
            resources: { limits: { cpu: 0.5, memory: "1.5Gi" } },
          },
        ],
      },
    };
    decodeBody(pod, body, { validation: "Warn" });
    expect(body as unknown).toEqual({
      metadata: { creationTimestamp: "2026-01-01T00:00:00Z" },
      spec: {
        containers: [
          {
            name: "a",
            resources: { limits: { cpu: "500m", memory: "1536Mi" } },
          },
        ],
      },
    });
  });

  test("keeps the microseconds of a lease", () => {
    const body = { spec: { renewTime: "2026-01-01T02:00:00.123456+02:00" } };
    decodeBody(lease, body, { validation: "Warn" });
    expect(body.spec.renewTime).toBe("2026-01-01T00:00:00.123456Z");
  });

  // As a kube-apiserver 1.26 answers: its times with microseconds have six digits, no more and no less.
  test.each([
    ["2026-01-01T00:00:00Z", 'cannot parse "Z" as ".000000"'],
    ["2026-01-01T00:00:00.5Z", 'cannot parse ".5Z" as ".000000"'],
    ["2026-01-01T02:00:00+02:00", 'cannot parse "+02:00" as ".000000"'],
    ["2026-01-01T00:00:00.123456789Z", 'cannot parse "789Z" as "Z07:00"'],
    ["x", 'cannot parse "x" as "2006"'],
  ])("refuses %s as a time with microseconds", (renewTime, why) => {
    expect(decode(lease, { spec: { renewTime } })).toBe(
      `Lease in version "v1" cannot be handled as a Lease: parsing time "${renewTime}" as "2006-01-02T15:04:05.000000Z07:00": ${why}`,
    );
  });

  test("refuses a body that is nested too deeply", () => {
    const text = `{"data":{"a":${"[".repeat(5000)}${"]".repeat(5000)}}}`;
    expect(decode(kindOf("v1", "ConfigMap"), JSON.parse(text) as Json)).toBe(
      'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: exceeded max depth',
    );
  });

  test("changes nothing when it runs on its own result", () => {
    const words = [
      "metadata",
      "spec",
      "status",
      "containers",
      "name",
      "image",
      "labels",
      "env",
      "value",
      "ports",
      "replicas",
      "data",
    ];
    const tree: fc.Arbitrary<Json> = fc.letrec<{ node: Json }>((tie) => ({
      node: fc.oneof(
        { maxDepth: 5 },
        fc.constantFrom<Json>("x", 1, true, null),
        fc.array(tie("node"), { maxLength: 3 }),
        fc.dictionary(fc.constantFrom(...words), tie("node"), { maxKeys: 5 }),
      ),
    })).node;
    const kinds = builtinKinds().filter((kind) => kind.stored);
    fc.assert(
      fc.property(fc.constantFrom(...kinds), fc.dictionary(fc.constantFrom(...words), tree), (kind, body) => {
        const once = decodeBody(kind, body, { validation: "Ignore" });
        const twice = once.ok
          ? decodeBody(kind, structuredClone(once.value), {
              validation: "Strict",
            })
          : once;
        if (once.ok)
          expect(twice).toEqual({
            ok: true,
            value: once.value,
            warnings: [],
          });
        else
          expect(once.status).toMatchObject({
            code: 400,
            reason: "BadRequest",
          });
      }),
      { numRuns: 500 },
    );
  });
});
