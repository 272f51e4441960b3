import { afterAll } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { childrenOf, socketsOf } from "#internal/test/support/machine/process-resources.ts";

/**
 * Fails a test file that leaves something behind: what a test does not dispose of, a module of the product would not
 * either. Loaded before each file (bunfig.toml).
 */
const settleMs = 4000;

const intervals = new Map<unknown, string>();
const realSet = globalThis.setInterval;
const realClear = globalThis.clearInterval;

globalThis.setInterval = Object.assign((...args: Parameters<typeof realSet>) => {
  const timer = realSet(...args);
  intervals.set(timer, new Error("interval set here").stack ?? "");
  return timer;
}, realSet) as typeof realSet;

globalThis.clearInterval = (timer) => {
  intervals.delete(timer);
  realClear(timer as Parameters<typeof realClear>[0]);
};

/** Directories that tests make below here are theirs; with the own parent, those of other processes are not seen. */
const folder = mkdtempSync(join(tmpdir(), "ke-"));
process.env["TMPDIR"] = folder;
const socketsBefore = socketsOf(process.pid);
const childrenBefore = childrenOf(process.pid);

function leftSockets(): string[] {
  return [...socketsOf(process.pid)]
    .filter(([inode]) => !socketsBefore.has(inode))
    .map(([, description]) => description);
}

function leftChildren(): string[] {
  return [...childrenOf(process.pid)]
    .filter(([pid]) => !childrenBefore.has(pid))
    .map(([pid, command]) => `process ${pid}: ${command}`);
}

function leaks(): string[] {
  const own = [...intervals.values()].filter((stack) => !stack.includes("node_modules"));
  const entries = readdirSync(folder).map((name) => `temporary file ${join(folder, name)}`);
  return [...own.map((stack) => `interval: ${stack}`), ...leftSockets(), ...leftChildren(), ...entries];
}

/** Sockets are closed and processes are reaped a little after they were asked to. */
async function settledLeaks(): Promise<string[]> {
  const deadline = performance.now() + settleMs;
  let left = leaks();
  while (left.length > 0 && performance.now() < deadline) {
    await Bun.sleep(20);
    left = leaks();
  }
  return left;
}

afterAll(async () => {
  const left = await settledLeaks();
  intervals.clear();
  rmSync(folder, { recursive: true, force: true });
  if (left.length > 0) throw new Error(`the test file left ${left.length} behind:\n${left.join("\n")}`);
});
