import { afterAll } from "bun:test";

/** Fails a test file that leaves an interval behind: a leaked interval is a module that was not disposed. */
const open = new Map<unknown, string>();
const realSet = globalThis.setInterval;
const realClear = globalThis.clearInterval;

globalThis.setInterval = Object.assign((...args: Parameters<typeof realSet>) => {
  const timer = realSet(...args);
  open.set(timer, new Error("interval set here").stack ?? "");
  return timer;
}, realSet) as typeof realSet;

globalThis.clearInterval = (timer) => {
  open.delete(timer);
  realClear(timer as Parameters<typeof realClear>[0]);
};

afterAll(() => {
  const ours = [...open.values()].filter((stack) => !stack.includes("node_modules"));
  open.clear();
  if (ours.length > 0) throw new Error(`${ours.length} interval(s) leaked:\n${ours[0]}`);
});
