import { expect, test } from "bun:test";
import { admitUpdate } from "#cloud/kube-api/kinds";
import type { JsonObject } from "#shared/json";
import { container, create, kindOf } from "./admitted.ts";

const podOf = (spec: JsonObject, annotations: JsonObject = {}): JsonObject => ({
  metadata: { name: "p", annotations },
  spec: { containers: [container], ...spec },
});

function admitted(body: JsonObject): { readonly object: JsonObject; readonly warnings: readonly string[] } {
  const outcome = create("v1", "Pod", body);
  if (!outcome.ok) throw new Error(outcome.status.message);
  return { object: outcome.value, warnings: outcome.warnings };
}

// The texts are those of a kube-apiserver 1.26 for the same pods.
test.each<[string, JsonObject, string[]]>([
  [
    "a variable twice",
    podOf({ containers: [{ ...container, env: [{ name: "A" }, { name: "A" }] }] }),
    ['spec.containers[0].env[1].name: duplicate name "A"'],
  ],
  [
    "a deprecated label of nodes",
    podOf({ nodeSelector: { "beta.kubernetes.io/os": "linux" } }),
    ['spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'],
  ],
  [
    "a part of a byte",
    podOf({ containers: [{ ...container, resources: { limits: { memory: "100m" } } }] }),
    [
      'spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, must be an integer',
      'spec.containers[0].resources.requests[memory]: fractional byte value "100m" is invalid, must be an integer',
    ],
  ],
  [
    "a kind of volume that is gone",
    podOf({ volumes: [{ name: "g", gitRepo: { repository: "x" } }] }),
    ["spec.volumes[0].gitRepo: deprecated in v1.11"],
  ],
  [
    "a secret twice",
    podOf({ imagePullSecrets: [{ name: "a" }, { name: "a" }] }),
    ['spec.imagePullSecrets[1].name: duplicate name "a"'],
  ],
])("a new pod with %s is accepted with a warning", (_what, body, warnings) => {
  expect(admitted(body).warnings).toEqual(warnings);
});

test("a pod is not warned of again when its labels change", () => {
  const current = admitted(podOf({ nodeSelector: { "beta.kubernetes.io/os": "linux" } })).object;
  const next = structuredClone(current);
  next.metadata = { ...(next.metadata as JsonObject), labels: { a: "b" } };
  expect(admitUpdate(kindOf("v1", "Pod"), { next, current, via: "" })).toMatchObject({
    ok: true,
    warnings: [],
  });
});
