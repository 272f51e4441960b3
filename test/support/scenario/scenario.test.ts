import { describe, expect, test } from "bun:test";
import {
  answerBlock,
  checkBlock,
  parseScenario,
  type ScenarioBlock,
} from "#internal/test/support/scenario/scenario.ts";

const commands = {
  add: ({ input }: ScenarioBlock) => ({ sum: input.reduce((sum: number, one) => sum + Number(one), 0) }),
};

function blockOf(text: string): ScenarioBlock {
  const [block] = parseScenario(text, "x.txt");
  if (!block) throw new Error("no block");
  return block;
}

describe("a scenario", () => {
  test("passes when the answer is what it expects", async () => {
    const block = blockOf("# sums\nadd\n1\n---\n2\n----\nsum: 3\n");
    const answer = await answerBlock(block, commands);
    expect(() => checkBlock(block, answer)).not.toThrow();
  });

  test("waits for the answer of a command that takes time", async () => {
    const block = blockOf("# sums\nadd\n1\n----\nsum: 1\n");
    const later = { add: async (one: ScenarioBlock) => commands.add(one) };
    expect(await answerBlock(block, later)).toEqual({ sum: 1 });
  });

  test.each([
    ["another value", "sum: 4"],
    ["another type", 'sum: "3"'],
    ["a field more", "{ sum: 3, more: 1 }"],
    ["a field less", "{}"],
    ["nothing", "null"],
  ])("fails when it expects %s", async (_what, expected) => {
    const block = blockOf(`# sums\nadd\n1\n---\n2\n----\n${expected}\n`);
    const answer = await answerBlock(block, commands);
    expect(() => checkBlock(block, answer)).toThrow();
  });

  test("fails when its command does not exist", async () => {
    const block = blockOf("# sums\nsubtract\n----\n1\n");
    await expect(answerBlock(block, commands)).rejects.toThrow('there is no command "subtract"');
  });

  test.each([
    ["has no block", "# only a comment\n"],
    ["has a block without a name", "add\n1\n----\nsum: 1\n"],
    ["has a block without an expectation", "# sums\nadd\n1\n----\n"],
    ["has a block without the line that parts input and expectation", "# sums\nadd\n1\nsum: 1\n"],
  ])("is refused when it %s", (_what, text) => {
    expect(() => parseScenario(text, "x.txt")).toThrow("x.txt");
  });

  test("keeps blocks in order, with options and all documents", () => {
    const text = "# one\nadd by=2 quick\n----\n1\n\n# two\n# lines\nadd\na: 1\n---\nb: 2\n----\n[2]\n";
    expect(parseScenario(text, "x.txt")).toEqual([
      {
        name: "one",
        command: "add",
        options: new Map([
          ["by", "2"],
          ["quick", "true"],
        ]),
        input: [],
        expected: 1,
      },
      { name: "two lines", command: "add", options: new Map(), input: [{ a: 1 }, { b: 2 }], expected: [2] },
    ]);
  });
});
