import { expect, test } from "bun:test";
import { startTestServer, textAt } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const maps = "/api/v1/namespaces/default/configmaps";
const type = { "content-type": "application/apply-patch+yaml" };
const kind = { apiVersion: "v1", kind: "ConfigMap" };

test("apply is refused when the object does not say what it is, or which object it means", async () => {
  using dir = tempDir();
  await using server = await startTestServer(dir.path);
  const apply = async (name: string, object: unknown): Promise<string> => {
    const path = `${maps}/${name}?fieldManager=me`;
    const { status, body } = await server.call("PATCH", path, object, type);
    return `${status} ${status < 300 ? textAt(body, "metadata", "name") : textAt(body, "message")}`;
  };
  const wrongVersion = "400 Incorrect version specified in apply patch. Specified patch version: ";
  const uid = (value: string): object => ({ ...kind, metadata: { name: "a", uid: value } });
  expect([
    await apply("a", uid("other")),
    await apply("a", { ...kind, metadata: { name: "a" } }),
    await apply("a", uid("other")),
    await apply("a", uid("")),
    await apply("a", {}),
    await apply("a", { kind: "ConfigMap", metadata: { name: "a", managedFields: [] } }),
    await apply("a", { ...kind, apiVersion: "v2", metadata: { name: "a" } }),
    await apply("a", { apiVersion: "v1", metadata: { name: "a" } }),
    await apply("a", kind),
    await apply("b", { ...kind, metadata: { name: "a" } }),
    await apply("a", { ...kind, metadata: { name: "a", managedFields: [] } }),
    await apply("a", { ...kind, metadata: { name: "a", managedFields: [{ manager: "x" }] } }),
    await apply("a", { ...kind, metadata: { name: "a", managedFields: null } }),
  ]).toEqual([
    '409 Operation cannot be fulfilled on configmaps "a": uid mismatch: the provided object specified uid other, and no existing object was found',
    "201 a",
    '422 ConfigMap "a" is invalid: metadata.uid: Invalid value: "other": field is immutable',
    "200 a",
    `${wrongVersion}, expected: v1`,
    `${wrongVersion}, expected: v1`,
    `${wrongVersion}v2, expected: v1`,
    "400 failed to create typed patch object (/a; /v1, Kind=): no corresponding type for /v1, Kind=",
    "400 the name of the object (a based on URL) was undeterminable: name must be provided",
    "400 the name of the object (a) does not match the name on the URL (b)",
    "400 metadata.managedFields must be nil",
    "400 metadata.managedFields must be nil",
    "200 a",
  ]);
});
