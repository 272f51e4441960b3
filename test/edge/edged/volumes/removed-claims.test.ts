import { expect, test } from "bun:test";
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { removeClaimDirectory } from "#internal/edge/edged/volumes/claim-volume.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import type { KubeObject } from "#shared/kube";

const name = "pvc-0b3f9a52-8f0e-4d7c-9f65-1f1b7f6f2a11";
const provisioned = { "pv.kubernetes.io/provisioned-by": "kubeedge.io/local-path" };

function volumeAt(
  path: string,
  metadata: KubeObject["metadata"] = { name, annotations: provisioned },
): KubeObject {
  return { metadata, spec: { hostPath: { path, type: "DirectoryOrCreate" } } };
}

async function outcome(volume: KubeObject): Promise<string> {
  try {
    await removeClaimDirectory(volume);
    return "removed";
  } catch (error) {
    return String(error).replace(/^.*: /, "");
  }
}

test("the directory of a deleted claim is removed, without what its links lead to, and once more without harm", async () => {
  using dir = tempDir();
  const path = join(dir.path, `${name}_default_data`);
  mkdirSync(join(path, "deep/deeper"), { recursive: true });
  writeFileSync(join(dir.path, "precious"), "x");
  symlinkSync(dir.path, join(path, "deep/link"));
  expect([await outcome(volumeAt(path)), await outcome(volumeAt(path))]).toEqual(["removed", "removed"]);
  expect([existsSync(path), existsSync(join(dir.path, "precious"))]).toEqual([false, true]);
});

test.each([
  ["of another name", (dir: string) => volumeAt(join(dir, "home")), "home"],
  ["above the one that is named", (dir: string) => volumeAt(`${dir}/${name}_x/../home`), "home"],
  ["of an operator's volume", (dir: string) => volumeAt(join(dir, `${name}_a_b`), { name }), `${name}_a_b`],
  [
    "of a volume with another kind of name",
    (dir: string) => volumeAt(join(dir, "home_a"), { name: "home", annotations: provisioned }),
    "home_a",
  ],
])("a directory %s is left alone", async (_what, make, folder) => {
  using dir = tempDir();
  mkdirSync(join(dir.path, folder));
  expect(await outcome(make(dir.path))).toBe("it is not the directory of a claim");
  expect(existsSync(join(dir.path, folder))).toBe(true);
});

test("a link in the place of the directory is left alone with what it leads to", async () => {
  using dir = tempDir();
  const path = join(dir.path, `${name}_default_data`);
  mkdirSync(join(dir.path, "home"));
  symlinkSync(join(dir.path, "home"), path);
  expect([await outcome(volumeAt(path)), existsSync(join(dir.path, "home"))]).toEqual([
    "it is no directory",
    true,
  ]);
});

test("a directory in which a disk is mounted is left alone", async () => {
  using dir = tempDir();
  const path = join(dir.path, `${name}_default_data`);
  const disk = join(path, "disk");
  mkdirSync(disk, { recursive: true });
  Bun.spawnSync(["mount", "-t", "tmpfs", "tmpfs", disk]);
  try {
    writeFileSync(join(disk, "precious"), "x");
    expect([await outcome(volumeAt(path)), existsSync(join(disk, "precious"))]).toEqual([
      `something is mounted at ${disk}`,
      true,
    ]);
  } finally {
    Bun.spawnSync(["umount", disk]);
  }
});
