import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { closeSync, copyFileSync, existsSync, openSync, readdirSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { openStore } from "#edge/store";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const rows = 20_000;
const kills = 6;

/** A database whose pods can be read and whose history cannot. */
function makeDamaged(path: string): void {
  {
    using store = openStore(path);
    store.transaction(() => {
      for (let n = 0; n < rows; n += 1) {
        const value = JSON.stringify({ metadata: { name: `p${n}`, uid: `u${n}` }, text: "x".repeat(200) });
        store.metas.put({ key: `default/pod/p${n}`, type: "pod", value });
      }
      for (let n = 0; n < 2000; n += 1)
        store.telemetry.add("d", "t", { at: n, value: "x".repeat(100) }, 10_000);
    });
  }
  const file = openSync(path, "r+");
  const { size } = statSync(path);
  writeSync(file, Buffer.alloc(8192, 0xff), 0, 8192, Math.floor((size - 32_768) / 4096) * 4096);
  closeSync(file);
}

/** Opens it in a process that is killed after so long, or as soon as it has it open. @returns whether it came so far */
async function openAndKill(path: string, afterMs: number): Promise<boolean> {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "open-store.ts"), path], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), afterMs);
  const said = await new Response(child.stdout).text();
  clearTimeout(timer);
  await child.exited;
  return said === "open\n";
}

function podsIn(path: string): number {
  using store = openStore(path, { nowMs: Date.now(), log: silentLog() });
  return store.metas.listByType("pod").length;
}

test("what can be read of a damaged database survives a kill at any moment of its rescue", async () => {
  using dir = tempDir("kubeedge-salvage");
  const damaged = join(dir.path, "damaged.db");
  makeDamaged(damaged);
  const whole = join(dir.path, "whole.db");
  copyFileSync(damaged, whole);
  const since = performance.now();
  expect(await openAndKill(whole, 60_000)).toBe(true);
  const tookMs = performance.now() - since;
  const expected = podsIn(whole);
  expect(expected).toBeGreaterThan(rows / 2);
  const found: number[] = [];
  for (let n = 0; n < kills; n += 1) {
    const path = join(dir.path, `killed-${n}.db`);
    copyFileSync(damaged, path);
    await openAndKill(path, tookMs * (0.3 + (0.7 * n) / kills));
    await openAndKill(path, tookMs * (0.3 + 0.7 * Math.random()));
    found.push(podsIn(path));
    expect(readdirSync(dir.path).filter((name) => /\.rescue/.test(name))).toEqual([]);
  }
  expect(found).toEqual(Array.from({ length: kills }, () => expected));
}, 60_000);

test("a damaged database is set aside once, beside the one with what could be read", () => {
  using dir = tempDir("kubeedge-salvage");
  const path = join(dir.path, "edgecore.db");
  makeDamaged(path);
  podsIn(path);
  podsIn(path);
  const aside = readdirSync(dir.path).filter(
    (name) => name.includes(".damaged-") && !/-(wal|shm)$/.test(name),
  );
  expect(aside).toHaveLength(1);
  expect(existsSync(path)).toBe(true);
  using database = new Database(path, { readonly: true });
  expect(database.query("PRAGMA quick_check(1)").get()).toEqual({ quick_check: "ok" });
});
