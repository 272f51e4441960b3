import { expect, test } from "bun:test";
import {
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  mkdirSync,
  existsSync,
} from "node:fs";
import { join } from "node:path";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import {
  prepareHostPath,
  resolveSubPath,
  volumeFiles,
  VolumeError,
  writeFiles,
  type VolumeSources,
} from "#internal/edge/edged/volumes.ts";
import type { Volume } from "#shared/kube";

const sources: VolumeSources = {
  pod: { metadata: { name: "web", namespace: "default", labels: { app: "x" } }, spec: { containers: [] } },
  objects: new Map([
    ["configmap/page", { metadata: {}, data: { "a.txt": "A", "b.txt": "B" } }],
    ["configmap/evil", { metadata: {}, data: { "../out": "x" } }],
    ["secret/cred", { metadata: {}, data: { user: btoa("me") } }],
  ]),
  facts: { nodeName: "n", hostIp: "", podIps: [], allocatable: {} },
  tokens: new Map([["token", "jwt"]]),
};

function files(volume: Omit<Volume, "name">): unknown {
  try {
    return volumeFiles({ ...volume, name: "v" }, sources)?.map((file) => [
      file.path,
      String(file.data),
      file.mode,
    ]);
  } catch (error) {
    return error instanceof VolumeError ? error.message : error;
  }
}

const setUp = 'MountVolume.SetUp failed for volume "v" : ';

test.each<[string, Omit<Volume, "name">, unknown]>([
  [
    "all keys",
    { configMap: { name: "page" } },
    [
      ["a.txt", "A", 0o644],
      ["b.txt", "B", 0o644],
    ],
  ],
  [
    "chosen keys",
    { configMap: { name: "page", items: [{ key: "a.txt", path: "d/x", mode: 0o600 }] } },
    [["d/x", "A", 0o600]],
  ],
  ["a secret", { secret: { secretName: "cred", defaultMode: 0o400 } }, [["user", "me", 0o400]]],
  ["a missing optional", { configMap: { name: "none", optional: true } }, []],
  ["a missing one", { secret: { secretName: "none" } }, `${setUp}secret "none" not found`],
  ["a key that leaves", { configMap: { name: "evil" } }, `${setUp}invalid path "../out"`],
  [
    "a path that leaves",
    { configMap: { name: "page", items: [{ key: "a.txt", path: "d/../../x" }] } },
    `${setUp}invalid path "d/../../x"`,
  ],
  [
    "labels",
    { downwardAPI: { items: [{ path: "l", fieldRef: { fieldPath: "metadata.labels" } }] } },
    [["l", 'app="x"', 0o644]],
  ],
  [
    "several sources",
    {
      projected: {
        sources: [
          { configMap: { name: "page", items: [{ key: "a.txt", path: "a" }] } },
          { serviceAccountToken: { path: "token" } },
        ],
      },
    },
    [
      ["a", "A", 0o644],
      ["token", "jwt", 0o600],
    ],
  ],
])("volumeFiles gives %s", (_name, volume, expected) => {
  expect(files(volume)).toEqual(expected);
});

test("writeFiles swaps all files at once and tells whether anything changed", () => {
  using dir = tempDir();
  const file = (path: string, text: string, mode = 0o644) => ({ path, data: Buffer.from(text), mode });
  const first = writeFiles(dir.path, [file("a", "1", 0o600), file("d/b", "2")], "t1");
  const again = writeFiles(dir.path, [file("a", "1", 0o600), file("d/b", "2")], "t2");
  const mode = statSync(join(dir.path, "a")).mode & 0o777;
  const changed = writeFiles(dir.path, [file("a", "9")], "t3");
  expect({ first, again, changed, mode, text: readFileSync(join(dir.path, "a"), "utf8") }).toEqual({
    first: true,
    again: false,
    changed: true,
    mode: 0o600,
    text: "9",
  });
  expect([readdirSync(dir.path).sort(), readlinkSync(join(dir.path, "..data"))]).toEqual([
    ["..data", "..t3", "a"],
    "..t3",
  ]);
});

test("resolveSubPath refuses a path that leaves the volume through a link", () => {
  using dir = tempDir();
  mkdirSync(join(dir.path, "v"));
  symlinkSync(dir.path, join(dir.path, "v/out"));
  const leave = (): string => resolveSubPath("v", join(dir.path, "v"), "out/made");
  expect(leave).toThrow("subPath leaves the volume");
  expect(existsSync(join(dir.path, "made"))).toBe(false);
  expect(resolveSubPath("v", join(dir.path, "v"), "a/b")).toEndWith("/v/a/b");
});

test("prepareHostPath makes and checks what is asked for", () => {
  using dir = tempDir();
  prepareHostPath("v", join(dir.path, "made"), "DirectoryOrCreate");
  expect(statSync(join(dir.path, "made")).isDirectory()).toBe(true);
  expect(() => prepareHostPath("v", join(dir.path, "none"), "File")).toThrow("is not a file");
  expect(() => prepareHostPath("v", "/tmp/../etc", "")).toThrow("invalid path");
});
