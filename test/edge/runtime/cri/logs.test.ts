import { expect, test } from "bun:test";
import { appendFileSync, existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LogOptions } from "#edge/runtime";
import { removeLog, readLog, rotateLog } from "#edge/runtime/cri/logs";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { systemClock as clock } from "#shared/clock";

const line = (n: number, text: string, tag = "F", stream = "stdout"): string =>
  `2026-01-01T00:00:${String(n).padStart(2, "0")}.5Z ${stream} ${tag} ${text}\n`;

function makeLog(): Disposable & { readonly path: string } {
  const dir = tempDir("log");
  mkdirSync(join(dir.path, "pod/c"), { recursive: true });
  return { path: join(dir.path, "pod/c/0.log"), [Symbol.dispose]: () => dir[Symbol.dispose]() };
}

async function read(path: string, options: LogOptions = {}, isOver = async () => true): Promise<string> {
  let text = "";
  const { signal } = new AbortController();
  for await (const { bytes } of readLog({ path, isOver, clock, signal }, options))
    text += Buffer.from(bytes).toString();
  return text;
}

test("lines that the engine cut are whole again, with one time each", async () => {
  using log = makeLog();
  writeFileSync(log.path, line(1, "one ", "P") + line(2, "line", "F") + line(3, "next"));
  expect(await read(log.path)).toBe("one line\nnext\n");
  expect(await read(log.path, { timestamps: true })).toBe(
    "2026-01-01T00:00:01.500000000Z one line\n2026-01-01T00:00:03.500000000Z next\n",
  );
});

test("parts of lines of both streams that were written in between belong to their own", async () => {
  using log = makeLog();
  writeFileSync(log.path, line(1, "a", "P") + line(1, "x", "F", "stderr") + line(2, "b"));
  expect(await read(log.path, { source: "stdout" })).toBe("ab\n");
  expect(await read(log.path, { source: "stderr", timestamps: true })).toBe(
    "2026-01-01T00:00:01.500000000Z x\n",
  );
});

test.each([false, true])(
  "a log that grows while it is read ends where it was when it was asked for, rotated meanwhile: %p",
  async (isRotated) => {
    using log = makeLog();
    writeFileSync(log.path, line(1, "one") + line(2, "two"));
    const { signal } = new AbortController();
    const source = { path: log.path, isOver: async () => false, clock, signal };
    const seen: string[] = [];
    for await (const { bytes } of readLog(source, {})) {
      seen.push(Buffer.from(bytes).toString());
      if (seen.length > 10) break;
      if (isRotated && seen.length === 1) renameSync(log.path, `${log.path}.20260101-000001`);
      appendFileSync(log.path, line(3, "later") + line(4, "later"));
    }
    expect(seen).toEqual(["one\n", "two\n"]);
  },
);

test("what is no entry of a log is passed over", async () => {
  using log = makeLog();
  writeFileSync(
    log.path,
    `${line(1, "a")}damaged\n\n2026 stdout\n2026 other F x\n${line(2, "")}2026-01-01T00:00:03Z stdout F half`,
  );
  expect(await read(log.path)).toBe("a\n\n");
});

test("the last lines are found over all files", async () => {
  using log = makeLog();
  const count = (from: number, to: number): string =>
    Array.from({ length: to - from }, (_, index) => line(1, String(from + index))).join("");
  writeFileSync(`${log.path}.20260101-000001`, count(0, 3000));
  writeFileSync(`${log.path}.20260101-000002`, count(3000, 3002));
  writeFileSync(log.path, count(3002, 3004));
  const numbers = (from: number): string =>
    Array.from({ length: 3004 - from }, (_, index) => `${from + index}\n`).join("");
  for (const lines of [0, 1, 2, 3, 4, 5, 2900, 3004, 5000])
    expect(await read(log.path, { tailLines: lines })).toBe(numbers(Math.max(0, 3004 - lines)));
  expect(await read(log.path)).toBe(numbers(0));
});

test("a log that is followed goes on in the file that the engine opens after a rotation", async () => {
  using log = makeLog();
  writeFileSync(log.path, line(1, "one"));
  let isOver = false;
  const done = read(log.path, { follow: true }, async () => isOver);
  await Bun.sleep(150);
  renameSync(log.path, `${log.path}.20260101-000001`);
  appendFileSync(`${log.path}.20260101-000001`, line(2, "two"));
  await Bun.sleep(150);
  writeFileSync(log.path, line(3, "three"));
  renameSync(log.path, `${log.path}.20260101-000002`);
  writeFileSync(log.path, line(4, "four"));
  await Bun.sleep(150);
  isOver = true;
  expect(await done).toBe("one\ntwo\nthree\nfour\n");
});

test("a log that is too large is renamed, and so many files are kept", async () => {
  using log = makeLog();
  const reopened: string[] = [];
  let nowMs = Date.UTC(2026, 0, 1);
  const options = {
    limits: { fileBytes: 10, files: 3 },
    clock: { nowMs: () => nowMs },
    log: silentLog(),
    reopen: async (id: string) => {
      reopened.push(id);
      writeFileSync(log.path, "");
    },
  };
  writeFileSync(log.path, "small");
  await rotateLog("id", log.path, options);
  for (let round = 0; round < 4; round += 1) {
    writeFileSync(log.path, "more than ten bytes");
    await rotateLog("id", log.path, options);
    // In the same second it waits.
    await rotateLog("id", log.path, options);
    nowMs += 1000;
  }
  expect(readdirSync(join(log.path, "..")).toSorted()).toEqual([
    "0.log",
    "0.log.20260101-000002",
    "0.log.20260101-000003",
  ]);
  expect(reopened).toEqual(["id", "id", "id", "id"]);
  removeLog(log.path);
  expect(existsSync(join(log.path, "../.."))).toBe(false);
});

test("a log stays in its place when the engine does not open another file", async () => {
  using log = makeLog();
  writeFileSync(log.path, "more than ten bytes");
  await rotateLog("id", log.path, {
    limits: { fileBytes: 10, files: 3 },
    clock,
    log: silentLog(),
    reopen: async () => {
      throw new Error("no");
    },
  });
  expect(readdirSync(join(log.path, ".."))).toEqual(["0.log"]);
});

test("a log that is missing, since nothing went on after it was renamed, is opened again", async () => {
  using log = makeLog();
  writeFileSync(`${log.path}.20260101-000001`, "more than ten bytes");
  const options = {
    limits: { fileBytes: 10, files: 3 },
    clock,
    log: silentLog(),
    reopen: async (id: string) => writeFileSync(log.path, id),
  };
  await rotateLog("id", log.path, options);
  await rotateLog("id", log.path, options);
  expect(readdirSync(join(log.path, "..")).toSorted()).toEqual(["0.log", "0.log.20260101-000001"]);
});
