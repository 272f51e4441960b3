import { expect, test } from "bun:test";
import type { LogOptions, OutputChunk } from "#edge/runtime";
import { LogTails } from "#internal/edge/edged/streams/log-tails.ts";

function logsOf(texts: Record<string, readonly string[]>) {
  const asked: [string, LogOptions][] = [];
  async function* logs(id: string, options: LogOptions): AsyncGenerator<OutputChunk> {
    asked.push([id, options]);
    for (const text of texts[id] ?? []) yield { stream: "stdout", bytes: Buffer.from(text) };
  }
  return { asked, logs };
}

test("the end of a log is read once, from its last lines", async () => {
  const runtime = logsOf({ a: ["DO", "NE"] });
  const tails = new LogTails(runtime);
  await tails.keep(["a"]);
  await tails.keep(["a"]);
  expect([tails.find("a"), runtime.asked]).toEqual(["DONE", [["a", { tailLines: 80 }]]]);
});

test("of a long log the last 2048 bytes are kept", async () => {
  const tails = new LogTails(logsOf({ a: ["x".repeat(3000), "y".repeat(2000)] }));
  await tails.keep(["a"]);
  expect(tails.find("a")).toBe("x".repeat(48) + "y".repeat(2000));
});

test("the log of a container that is not asked for any longer is forgotten", async () => {
  const tails = new LogTails(logsOf({ a: ["A"], b: ["B"] }));
  await tails.keep(["a"]);
  await tails.keep(["b"]);
  expect([tails.find("a"), tails.find("b")]).toEqual([undefined, "B"]);
});
