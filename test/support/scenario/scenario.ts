import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Json } from "#shared/json";

/**
 * Tests whose cases are data, as CockroachDB's and etcd's `datadriven`: files of blocks
 *
 *     # what the case shows
 *     command key=value flag
 *     input, in YAML; several documents are parted by "---"
 *     ----
 *     what the command must answer, in YAML
 *
 * Blocks are parted by an empty line. Those of a file run in order and share what the commands of the file remember.
 */
export interface ScenarioBlock {
  readonly name: string;
  readonly command: string;
  /** A flag without a value is "true". */
  readonly options: ReadonlyMap<string, string>;
  readonly input: readonly Json[];
  readonly expected: Json;
}

/** Answers, at once or as a promise, with what the block's expectation is compared with; undefined fields are absent. */
export type ScenarioCommand = (block: ScenarioBlock) => unknown;

export type ScenarioCommands = Readonly<Record<string, ScenarioCommand>>;

/** Runs every `*.txt` of a folder, each block as a test; each file gets commands of its own. */
export function runScenarios(folder: string, commandsOf: () => ScenarioCommands): void {
  const files = readdirSync(folder).filter((file) => file.endsWith(".txt"));
  if (files.length === 0) throw new Error(`${folder} has no scenario files`);
  for (const file of files) {
    const blocks = parseScenario(readFileSync(join(folder, file), "utf8"), file);
    const answers = answersOf(blocks, commandsOf());
    for (const [index, block] of blocks.entries())
      test(`${file.replace(/\.txt$/, "")}: ${block.name}`, async () =>
        checkBlock(block, await answers(index)));
  }
}

type Outcome = { readonly answer: Json } | { readonly error: unknown };

/** Runs the blocks in order up to the requested one, whatever the order of the tests. */
function answersOf(
  blocks: readonly ScenarioBlock[],
  commands: ScenarioCommands,
): (index: number) => Promise<Json> {
  const outcomes: Promise<Outcome>[] = [];
  return async (index) => {
    for (const block of blocks.slice(outcomes.length, index + 1)) {
      const previous = outcomes.at(-1);
      outcomes.push(outcomeOf(block, commands, previous));
    }
    const outcome = await outcomes[index];
    if (!outcome) throw new Error(`there is no block ${index}`);
    if ("error" in outcome) throw outcome.error;
    return outcome.answer;
  };
}

async function outcomeOf(
  block: ScenarioBlock,
  commands: ScenarioCommands,
  previous: Promise<Outcome> | undefined,
): Promise<Outcome> {
  await previous;
  try {
    return { answer: await answerBlock(block, commands) };
  } catch (error) {
    return { error };
  }
}

export async function answerBlock(block: ScenarioBlock, commands: ScenarioCommands): Promise<Json> {
  const command = Object.hasOwn(commands, block.command) ? commands[block.command] : undefined;
  if (!command) throw new Error(`"${block.name}": there is no command "${block.command}"`);
  // As the answer would go over the wire; also keeps it from changes by later blocks.
  return JSON.parse(JSON.stringify((await command(block)) ?? null)) as Json;
}

/** @throws when the answer is not what the block expects */
export function checkBlock(block: ScenarioBlock, answer: unknown): void {
  expect(answer).toEqual(block.expected);
}

/** @throws Error naming file and line when the text is not in the format, or holds no block */
export function parseScenario(text: string, file: string): ScenarioBlock[] {
  const blocks: ScenarioBlock[] = [];
  const lines = text.split("\n");
  let start = 0;
  while (start < lines.length) {
    if ((lines[start] ?? "").trim() === "") {
      start += 1;
      continue;
    }
    let end = start;
    while (end < lines.length && (lines[end] ?? "").trim() !== "") end += 1;
    const found = lines.slice(start, end);
    if (!found.every((line) => line.startsWith("#"))) blocks.push(parseBlock(found, `${file}:${start + 1}`));
    start = end;
  }
  if (blocks.length === 0) throw new Error(`${file}: no block`);
  return blocks;
}

function parseBlock(lines: readonly string[], place: string): ScenarioBlock {
  const comments = lines.findIndex((line) => !line.startsWith("#"));
  const end = lines.indexOf("----");
  const head = lines[comments] ?? "";
  if (comments === 0) throw new Error(`${place}: the block has no "# name"`);
  if (end <= comments) throw new Error(`${place}: the block has no "----" after its command`);
  const [command = "", ...options] = head.trim().split(/\s+/);
  const expected = lines.slice(end + 1);
  if (expected.length === 0) throw new Error(`${place}: the block expects nothing; write "null"`);
  return {
    name: lines
      .slice(0, comments)
      .map((line) => line.replace(/^#\s*/, ""))
      .join(" "),
    command,
    options: new Map(options.map((option) => [option.split("=", 1)[0] ?? "", valueOf(option)])),
    input: documentsOf(lines.slice(comments + 1, end)),
    expected: parseYaml(expected),
  };
}

function valueOf(option: string): string {
  const index = option.indexOf("=");
  return index < 0 ? "true" : option.slice(index + 1);
}

function documentsOf(lines: readonly string[]): Json[] {
  if (lines.length === 0) return [];
  const documents: string[][] = [[]];
  for (const line of lines) {
    if (line === "---") documents.push([]);
    else documents.at(-1)?.push(line);
  }
  return documents.map(parseYaml);
}

function parseYaml(lines: readonly string[]): Json {
  return Bun.YAML.parse(lines.join("\n")) as Json;
}
