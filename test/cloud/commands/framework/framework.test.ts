import { describe, expect, test } from "bun:test";
import {
  readChoice,
  readOutput,
  readText,
  readWhole,
  refuseMore,
  requireOperand,
} from "#internal/cloud/commands/framework/arguments.ts";
import { formatTable, untilWords } from "#internal/cloud/commands/framework/tables.ts";
import type { Asked } from "#shared/cli";
import { describeError } from "#shared/errors";

function asked(operands: readonly string[], flags: Readonly<Record<string, string>> = {}): Asked {
  return { command: "node", operands: [...operands], flags: new Map(Object.entries(flags)) };
}

/** What a call returns, or the text of its error. */
function outcome(call: () => unknown): unknown {
  try {
    return call() ?? null;
  } catch (error) {
    return describeError(error);
  }
}

describe("arguments of a command", () => {
  test.each([
    [["ban"], "ban"],
    [["bna"], 'node: expected list, ban, got "bna"; did you mean ban?'],
    [["remove"], 'node: expected list, ban, got "remove"'],
    [[], "node: expected list, ban, got nothing"],
  ])("%j choose a subcommand or are refused", (operands, expected) => {
    expect(outcome(() => readChoice(asked(operands), ["list", "ban"]))).toBe(expected);
  });

  test.each([
    [["ban", "edge-1"], "edge-1"],
    [["ban"], "node ban: expected the name of a node"],
    [["ban", ""], "node ban: expected the name of a node"],
  ])("%j have an operand or are refused", (operands, expected) => {
    expect(outcome(() => requireOperand(asked(operands), "the name of a node"))).toBe(expected);
  });

  test.each([
    [{}, 24],
    [{ hours: "1" }, 1],
    [{ hours: "8760" }, 8760],
    [{ hours: "0" }, '--hours: expected a whole number from 1 to 8760, got "0"'],
    [{ hours: "8761" }, '--hours: expected a whole number from 1 to 8760, got "8761"'],
    [{ hours: "1.5" }, '--hours: expected a whole number from 1 to 8760, got "1.5"'],
    [{ hours: "1e3" }, '--hours: expected a whole number from 1 to 8760, got "1e3"'],
    [{ hours: "-1" }, '--hours: expected a whole number from 1 to 8760, got "-1"'],
  ] as const)("%j have a whole number within bounds or are refused", (flags, expected) => {
    expect(outcome(() => readWhole(asked([], flags), "hours", 24, [1, 8760]))).toBe(expected);
  });

  test.each([
    [["ban", "a"], {}, null],
    [["ban", "a"], { reason: "lost" }, null],
    [["ban", "a", "b"], {}, 'node ban: expected nothing more, got "b"'],
    [["ban", "a"], { hours: "1" }, "node ban takes no --hours"],
  ] as const)("%j with %j are all expected or are refused", (operands, flags, expected) => {
    const check = (): void => refuseMore(asked(operands, flags), { operands: 2, flags: ["reason"] });
    expect(outcome(check)).toBe(expected);
  });

  test("have a text of bounded length and a known output format", () => {
    expect(outcome(() => readText(asked([], { reason: "12345" }), "reason", 5))).toBe("12345");
    expect(outcome(() => readText(asked([], { reason: "123456" }), "reason", 5))).toBe(
      "--reason: expected at most 5 characters",
    );
    expect(outcome(() => readOutput(asked([])))).toBe("table");
    expect(outcome(() => readOutput(asked([], { output: "yaml" })))).toBe(
      '--output: expected table or json, got "yaml"',
    );
  });
});

describe("a table", () => {
  test("has aligned columns and no blanks at the end of a line", () => {
    const text = formatTable(
      ["NAME", "STATE", "NOTE"],
      [
        ["edge-1", "connected", ""],
        ["e", "banned", "lost"],
      ],
    );
    expect(text).toBe("NAME     STATE       NOTE\nedge-1   connected\ne        banned      lost\n");
  });

  test("shows control characters of nodes and users as replacement characters", () => {
    expect(formatTable(["NOTE"], [["\u001b[2Jcleared\u0007"], ["\u202egnirts"]])).toBe(
      "NOTE\n\uFFFD[2Jcleared\uFFFD\n\uFFFDgnirts\n",
    );
  });

  test.each([
    [undefined, "-"],
    ["not a time", "-"],
    ["2026-01-01T00:01:59Z", "119s"],
    ["2026-01-01T00:02:00Z", "2m"],
    ["2026-01-01T02:00:00Z", "2h"],
    ["2026-01-03T00:00:00Z", "2d"],
    ["2025-12-31T23:59:30Z", "30s ago"],
    ["2025-12-29T00:00:00Z", "3d ago"],
  ])("shows %p as %s", (time, expected) => {
    expect(untilWords(time, Date.parse("2026-01-01T00:00:00Z"))).toBe(expected);
  });
});
