import { expect, test } from "bun:test";
import { chmodSync, lstatSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ownVolume } from "#internal/edge/edged/volumes/volume-owner.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const shown = (path: string): string => {
  const { gid, mode } = lstatSync(path);
  return `${gid} ${(mode & 0o7777).toString(8)}`;
};

test("a volume is given to the group, files and directories as kubelet does, links and what they lead to not", async () => {
  using dir = tempDir();
  const [volume, outside] = [join(dir.path, "volume"), join(dir.path, "outside")];
  mkdirSync(join(volume, "sub"), { recursive: true, mode: 0o755 });
  writeFileSync(join(volume, "sub/file"), "x", { mode: 0o604 });
  writeFileSync(outside, "x", { mode: 0o600 });
  symlinkSync(outside, join(volume, "link"));
  await ownVolume(volume, 2000, undefined);
  expect([volume, join(volume, "sub"), join(volume, "sub/file"), outside].map(shown)).toEqual([
    "2000 2775",
    "2000 2775",
    "2000 664",
    `${statSync(dir.path).gid} 600`,
  ]);
  expect(lstatSync(join(volume, "link")).gid).not.toBe(2000);
});

test("OnRootMismatch leaves alone what is in a volume whose directory is right already", async () => {
  using dir = tempDir();
  const file = join(dir.path, "file");
  await ownVolume(dir.path, 2000, undefined);
  writeFileSync(file, "x");
  chmodSync(file, 0o600);
  await ownVolume(dir.path, 2000, "OnRootMismatch");
  expect(shown(file)).toBe("2000 600");
  await ownVolume(dir.path, 2001, "OnRootMismatch");
  expect(shown(file)).toBe("2001 660");
});

test("a volume of a thousand levels and thousands of files neither ends the walk nor the process", async () => {
  using dir = tempDir();
  const deep = join(dir.path, "d/".repeat(1000));
  mkdirSync(deep, { recursive: true });
  for (let index = 0; index < 3000; index += 1) writeFileSync(join(dir.path, `f${index}`), "");
  await ownVolume(dir.path, 2000, undefined);
  expect([join(dir.path, "d/d"), join(dir.path, "f2999"), deep].map((path) => statSync(path).gid)).toEqual([
    2000,
    2000,
    statSync(deep).gid,
  ]);
});
