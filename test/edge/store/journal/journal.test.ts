import { expect, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { openStore } from "#edge/store";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const script = join(import.meta.dir, "failing-disk.ts");

/** Runs the script until it kills itself. @returns how both writes to the disk went */
async function run(
  path: string,
  { values, limit }: { values: number; limit: number },
  prefix = "",
): Promise<string> {
  const command = `trap '' XFSZ; exec ${prefix} "$@"`;
  const writer = Bun.spawn(
    ["bash", "-c", command, "bash", process.execPath, script, path, `${values}`, `${limit}`],
    { stdout: "pipe" },
  );
  await writer.exited;
  return (await writer.stdout.text()).trim();
}

/** What is on disk when the power is lost: not what came since the last `sync`. */
function versions(path: string): number[] {
  for (const end of ["-values-a", "-values-b"]) rmSync(`${path}${end}`, { force: true });
  using store = openStore(path);
  return store.values.read().map(({ version }) => version);
}

test.each([[2500], [5000]])(
  "%p values of which the disk took the first 2000 are all read after the others were written as well",
  async (values) => {
    using dir = tempDir();
    const path = join(dir.path, "edge.db");
    expect(await run(path, { values, limit: 64 * 1024 })).toBe('["failed","written"]');
    expect(versions(path)).toEqual(Array.from({ length: values }, (_, n) => n + 1));
  },
);

test("values that were written to the disk in part when the process ended are read once", async () => {
  using dir = tempDir();
  const path = join(dir.path, "edge.db");
  await run(path, { values: 5000, limit: 64 * 1024 });
  // Of three batches the first.
  const file = readFileSync(`${path}-values`);
  const first = Math.ceil((20 + file.readUInt32LE(12)) / 512) * 512;
  await Bun.write(`${path}-values`, file.subarray(0, first));
  {
    using store = openStore(path);
    expect(store.values.read().map(({ version }) => version)).toEqual(
      Array.from({ length: 5000 }, (_, n) => n + 1),
    );
    await store.values.sync();
  }
  expect(versions(path)).toEqual(Array.from({ length: 5000 }, (_, n) => n + 1));
});

const strace = Bun.spawnSync(["sh", "-c", "strace -o /dev/null true"]).exitCode === 0;

test.skipIf(!strace)("the name of the journal is on disk before the first values in it", async () => {
  using dir = tempDir();
  const path = join(dir.path, "edge.db");
  const trace = join(dir.path, "trace");
  await run(path, { values: 1, limit: 64 * 1024 }, `strace -f -y -e trace=openat,fsync,pwrite64 -o ${trace}`);
  const calls = readFileSync(trace, "utf8").split("\n");
  const made = calls.findIndex((call) => call.includes('edge.db-values"') && call.includes("openat("));
  const written = calls.findIndex((call) => call.includes("edge.db-values>") && call.includes("pwrite64("));
  const synced = calls.findIndex(
    (call, n) => n > made && call.includes(`<${dir.path}>`) && call.includes("fsync("),
  );
  expect(made).toBeGreaterThan(-1);
  expect(synced).toBeGreaterThan(made);
  expect(written).toBeGreaterThan(synced);
});
