import { expect, test } from "bun:test";
import { admitCreate, admitUpdate, decodeBody, findKind } from "#cloud/kube-api/kinds";
import type { JsonObject } from "#shared/json";

const container = { name: "c", image: "busybox:1" };
const podOf = (spec: JsonObject, annotations: JsonObject = {}): JsonObject => ({
  metadata: { name: "p", namespace: "default", annotations },
  spec: { containers: [container], ...spec },
});

function admitted(body: JsonObject): { readonly object: JsonObject; readonly warnings: readonly string[] } {
  const kind = findKind("v1", "Pod");
  if (kind === undefined) throw new Error("no Pod");
  const decoded = decodeBody(kind, structuredClone(body), { validation: "Strict" });
  if (!decoded.ok) throw new Error(decoded.status.message);
  const outcome = admitCreate(kind, decoded.value, { now: "2026-01-01T00:00:00Z" });
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
  const kind = findKind("v1", "Pod");
  if (kind === undefined) throw new Error("no Pod");
  const current = admitted(podOf({ nodeSelector: { "beta.kubernetes.io/os": "linux" } })).object;
  const next = structuredClone(current);
  next.metadata = { ...(next.metadata as JsonObject), labels: { a: "b" } };
  expect(admitUpdate(kind, { next, current, via: "" })).toMatchObject({ ok: true, warnings: [] });
});
