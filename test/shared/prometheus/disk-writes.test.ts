import { expect, test } from "bun:test";
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { readDiskWrites } from "#shared/prometheus";
import { tempDir } from "#internal/test/support/temp-dir.ts";

test("what this process writes to a disk is counted, with the time since its start", () => {
  using dir = tempDir();
  const before = readDiskWrites();
  const file = openSync(join(dir.path, "file"), "w");
  writeSync(file, Buffer.alloc(1_000_000, 1));
  fsyncSync(file);
  closeSync(file);
  const after = readDiskWrites(process.pid);
  expect((after?.bytes ?? 0) - (before?.bytes ?? 0)).toBeGreaterThanOrEqual(1_000_000);
  expect(Math.abs((after?.seconds ?? 0) - process.uptime())).toBeLessThan(5);
});

test("of a process that is not there nothing is known", () => {
  expect(readDiskWrites(2 ** 22 + 1)).toBeUndefined();
});
