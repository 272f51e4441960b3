import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");
/** Names of fields by type, as the embedded API serves them: those of Kubernetes 1.32. */
const types = new Map<string, readonly string[]>();
for (const line of readFileSync(join(root, "cloud/kube-api/schema/schema-types.txt"), "utf8").split("\n")) {
  const [, name, fields] = /^"core\.v1\.(\w+)":(\{.*\}),?$/.exec(line) ?? [];
  if (name !== undefined && fields !== undefined) types.set(name, Object.keys(JSON.parse(fields) as object));
}
const page = readFileSync(join(root, "docs/pods.md"), "utf8");
const named = new Set(
  [...page.matchAll(/`([^`\n]+)`/g)].flatMap(([, text = ""]) => text.match(/\w+/g) ?? []),
);

test.each([
  "PodSpec",
  "Container",
  "EphemeralContainer",
  "ContainerPort",
  "EnvVarSource",
  "EnvFromSource",
  "Probe",
  "Lifecycle",
  "PodSecurityContext",
  "SecurityContext",
  "PodDNSConfig",
  "Affinity",
  "VolumeMount",
  "Volume",
  "VolumeProjection",
  "EmptyDirVolumeSource",
  "HostPathVolumeSource",
  "ConfigMapVolumeSource",
  "SecretVolumeSource",
  "ServiceAccountTokenProjection",
])("the page on pods says what becomes of every field of %s", (type) => {
  const fields = types.get(type) ?? [];
  expect(fields.length).toBeGreaterThan(0);
  // A field that only names its object needs no row.
  const silent = fields.filter((field) => field !== "name" && field !== "path" && !named.has(field));
  expect(silent).toEqual([]);
});
