import { expect, test } from "bun:test";
import { formatReport, readTestOutput } from "#internal/scripts/test-report.ts";

const output = `bun test v1.4.4 (38afee6c8)

test/a.test.ts:
(pass) a works [1.00ms]
a log line
error: expected 1

  at a.test.ts:3
(fail) a fails [2.50ms]
(pass) a works again

test/b.test.ts:
skipped: needs kubectl
(skip) b needs kubectl
(skip) b needs it twice

# Unhandled error between tests
-------------------------------
error: late
-------------------------------

1 tests failed:
(fail) a fails [2.50ms]

 2 pass
 2 skip
 1 fail
 1 error
 7 expect() calls
Ran 5 tests across 2 files. [10.00ms]
`;

test("test report reads counts, skips with their reason and failures with their output", () => {
  expect(readTestOutput(output)).toEqual({
    passed: 2,
    failed: 2,
    skipped: 2,
    skips: [
      { file: "test/b.test.ts", name: "b needs kubectl", reason: "needs kubectl" },
      { file: "test/b.test.ts", name: "b needs it twice", reason: "needs kubectl" },
    ],
    failures: [
      {
        file: "test/a.test.ts",
        name: "a fails",
        output: "a log line\nerror: expected 1\n\n  at a.test.ts:3",
      },
      {
        file: "test/b.test.ts",
        name: "(between tests)",
        output: [
          "# Unhandled error between tests",
          "-------------------------------",
          "error: late",
          "-------------------------------",
        ].join("\n"),
      },
    ],
  });
});

test("test report ends with failures, skips and one line of counts", () => {
  const lines = formatReport(readTestOutput(output)).split("\n");
  expect(lines.slice(0, 4)).toEqual([
    "",
    "== failed: test/a.test.ts: a fails",
    "a log line",
    "error: expected 1",
  ]);
  expect(lines.slice(-3)).toEqual([
    "skipped tests:",
    "  2 of test/b.test.ts: needs kubectl",
    "2 passed, 2 failed, 2 skipped",
  ]);
});

test("test report of a run that did not get to its summary counts nothing", () => {
  expect(formatReport(readTestOutput("error: out of memory\n"))).toBe("0 passed, 0 failed, 0 skipped");
});
