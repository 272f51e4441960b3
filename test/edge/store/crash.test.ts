import { expect, test } from "bun:test";
import { join } from "node:path";
import { openStore, type Store } from "#edge/store";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const script = join(import.meta.dir, "store-writer.ts");

/** Runs the writer until it has printed `count` numbers, kills it. @returns the last number it printed */
async function writeAndKill(database: string, count: number): Promise<number> {
  const writer = Bun.spawn([process.execPath, script, database]);
  const decoder = new TextDecoder();
  let printed = "";
  let killed = false;
  for await (const chunk of writer.stdout) {
    printed += decoder.decode(chunk, { stream: true });
    if (killed || printed.split("\n").length <= count) continue;
    writer.kill("SIGKILL");
    killed = true;
  }
  await writer.exited;
  return Number(printed.slice(0, printed.lastIndexOf("\n")).split("\n").at(-1));
}

const numberIn = (json: string): number => (JSON.parse(json) as { n: number }).n;

/** The newest number in the rows, in the latest-only messages and in the ordinary ones. */
function newestIn(store: Store): readonly number[] {
  const outbox = store.outbox.listAfter(0, 1_000_000);
  const lane = (name: string) =>
    outbox.filter((row) => row.lane === name).map((row) => numberIn(row.message));
  const rows = store.metas.listByType("pod").map(({ value }) => numberIn(value));
  return [rows, lane("podstatus"), lane("twin")].map((numbers) => Math.max(...numbers));
}

test.each([3, 40, 150, 400])(
  "store has whole commits, and every one that returned, after a kill -9 past %d of them",
  async (count) => {
    using dir = tempDir();
    const database = join(dir.path, "edge.db");
    const last = await writeAndKill(database, count);

    using store = openStore(database);
    const [newest = 0, ...others] = newestIn(store);
    expect(newest).toBeGreaterThanOrEqual(last);
    expect(others).toEqual([newest, newest]);
    const { entries, bytes } = store.outbox.size();
    const rows = store.outbox.listAfter(0, 1_000_000);
    expect({ entries, bytes }).toEqual({
      entries: rows.length,
      bytes: rows.reduce((sum, row) => sum + Buffer.byteLength(row.message), 0),
    });
  },
);
