import { describe, expect, test } from "bun:test";
import { mostContainers, readUsage, writeUsage, type UsageReport } from "#shared/usage";

const report: UsageReport = {
  windowMs: 15_000,
  node: { cpuNanoCores: 250_000_000, memoryBytes: 1 << 30 },
  pods: new Map([["uid-1", new Map([["web", { cpuNanoCores: 1_000_000, memoryBytes: 4096 }]])]]),
};
const written = { windowMs: 15_000, node: [1, 2], pods: { a: { web: [3, 4] } } };

test("a report is read as it was written", () => {
  const sent: unknown = JSON.parse(JSON.stringify(writeUsage(report)));
  expect(readUsage(sent)).toEqual({ ok: true, report });
});

describe("a report is refused with the field", () => {
  const pair = "expected nanocores and bytes, neither negative";
  const crowd = Object.fromEntries(Array.from({ length: mostContainers + 1 }, (_, n) => [`c${n}`, [1, 1]]));
  test.each([
    [null, "expected an object"],
    [[], "expected an object"],
    [{ ...written, windowMs: 0 }, "windowMs: expected milliseconds, at least 1"],
    [{ ...written, windowMs: "15" }, "windowMs: expected milliseconds, at least 1"],
    [{ ...written, node: [-1, 2] }, `node: ${pair}`],
    [{ ...written, node: [NaN, 2] }, `node: ${pair}`],
    [{ ...written, node: [1, Infinity] }, `node: ${pair}`],
    [{ ...written, node: [1] }, `node: ${pair}`],
    [{ ...written, pods: [] }, "pods: expected an object"],
    [{ ...written, pods: { a: [] } }, "pods: expected objects"],
    [{ ...written, pods: { a: { web: [1, -2] } } }, `pods: ${pair}`],
    [{ ...written, pods: { a: { web: [1e300, 2] } } }, `pods: ${pair}`],
    [{ ...written, pods: { a: { web: ["1", 2] } } }, `pods: ${pair}`],
    [{ ...written, pods: { a: crowd } }, `pods: expected at most ${mostContainers} containers`],
  ])("%j", (value, problem) => {
    expect(readUsage(value)).toEqual({ ok: false, problem });
  });
});
