import { expect, test } from "bun:test";
import { cycleMs } from "#shared/clock";

test.each([
  [1000, 1000],
  [86_400_000, 86_400_000],
  [10_000_000_000, 10_000],
  ["2000", 2000],
  [500_000_000, 500],
  [9e18, 86_400_000],
  [0, undefined],
  [-5, undefined],
  ["soon", undefined],
  [undefined, undefined],
  [null, undefined],
])("a cycle written as %p is %p ms", (written, ms) => {
  expect(cycleMs(written)).toBe(ms);
});
