import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { needs } from "#internal/test/support/needs.ts";

const child = [process.execPath, join(import.meta.dir, "locking-child.ts")];
const otherPids = ["unshare", "--pid", "--fork", "--mount-proc"];
const hasNamespaces = needs({
  "root and pid namespaces": Bun.spawnSync([...otherPids, "true"]).exitCode === 0,
});

interface Taker extends AsyncDisposable {
  /** "held", or why not */
  readonly said: Promise<string>;
  kill(): Promise<void>;
}

let folder: ReturnType<typeof tempDir>;
beforeEach(() => {
  folder = tempDir("one-process");
});
afterEach(() => folder[Symbol.dispose]());

function take(before: readonly string[] = []): Taker {
  const taker = Bun.spawn([...before, ...child, folder.path], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const end = async (): Promise<void> => {
    await taker.stdin.end();
    await taker.exited;
  };
  return {
    said: firstLine(taker.stdout),
    kill: async () => {
      taker.kill("SIGKILL");
      await taker.exited;
    },
    [Symbol.asyncDispose]: end,
  };
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    if (text.includes("\n")) break;
  }
  return text.trim();
}

test("one of several processes gets a data directory that a killed one left", async () => {
  for (let round = 0; round < 5; round += 1) {
    const stale = take();
    expect(await stale.said).toBe("held");
    await stale.kill();
    await using stack = new AsyncDisposableStack();
    const takers = Array.from({ length: 5 }, () => stack.use(take()));
    const said = await Promise.all(takers.map((taker) => taker.said));
    expect(said.filter((one) => one === "held")).toHaveLength(1);
  }
}, 60_000);

describe.skipIf(!hasNamespaces)("in containers that share a folder", () => {
  test("the second process is refused, whatever its pid is, and gets the lock after the first", async () => {
    {
      await using first = take(otherPids);
      expect(await first.said).toBe("held");
      await using second = take(otherPids);
      expect(await second.said).toContain("a process of another container or host holds it");
      await using outside = take();
      expect(await outside.said).toContain("a process of another container or host holds it");
    }
    await using next = take(otherPids);
    expect(await next.said).toBe("held");
  }, 30_000);
});

test("a lock of an earlier version holds as long as its process lives", async () => {
  const stat = await Bun.file(`/proc/${process.pid}/stat`).text();
  const started = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  writeFileSync(join(folder.path, "sample.lock"), JSON.stringify({ pid: process.pid, started }));
  await using second = take();
  expect(await second.said).toContain(`process ${process.pid} holds it`);
});
