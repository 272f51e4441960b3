import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type DemoView, machines } from "./demo-view.ts";
import { type Block, type Page, valuesOf } from "./markdown.ts";

/** What one block of commands did. */
interface Outcome {
  readonly block: Block;
  readonly output: string;
  /** Exit code of its last command; undefined when the shell did not get that far. */
  readonly code: number | undefined;
  /** Commands in it that failed, with their exit codes. */
  readonly failures: readonly string[];
}

/** What of a view is needed to run commands in it. */
type Place = Pick<DemoView, "path" | "env" | "translate">;

const limitSeconds = 40;

export function runnable(page: Page): Block[] {
  return page.blocks.filter((block) => ["run", "manifest"].some((name) => valuesOf(block, name).length > 0));
}

/**
 * Runs the blocks of a page in order in one shell, as somebody would who pastes them into a terminal.
 * @returns what differs from the page, one text a problem
 */
export async function runPage(page: Page, view: Place): Promise<string[]> {
  const outcomes = await runBlocks(page, view);
  return outcomes.flatMap((outcome) => problemsOf(outcome).map((problem) => `${page.file}:${problem}`));
}

/** Marks lines of the shell's output that are ours. */
const mark = "\u001E";

async function runBlocks(page: Page, view: Place): Promise<Outcome[]> {
  const blocks = runnable(page);
  const folder = join(view.path, ".run");
  const lines = [
    "set -E",
    `trap 'failed=$?; echo "${mark}failed $failed $BASH_COMMAND"' ERR`,
    ...blocks.flatMap((block, index) => {
      const machine = machines.find((one) => valuesOf(block, "run").includes(one)) ?? "demo";
      const file = join(folder, `${page.file.replaceAll("/", "-")}-${block.line}.sh`);
      writeFileSync(file, view.translate(commandsOf(block), machine));
      return [`printf '\\n${mark}start %s\\n' ${index}`, `. ${file}`, `printf '\\n${mark}end %s\\n' $?`];
    }),
  ];
  const script = join(folder, `${page.file.replaceAll("/", "-")}.sh`);
  writeFileSync(script, `${lines.join("\n")}\n`);
  const shell = Bun.spawn(["timeout", "-k", "5", String(limitSeconds), "bash", "-c", `. ${script} 2>&1`], {
    cwd: view.path,
    env: { ...process.env, ...view.env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const output = await new Response(shell.stdout).text();
  await shell.exited;
  return blocks.map((block, index) => outcomeOf(block, index, output));
}

/** A manifest is held against the API without being stored. */
function commandsOf({ language, text }: Block): string {
  if (language === "sh") return text;
  const kubeconfig = ".run/demo/cloud/kubeconfig";
  return `kubectl --kubeconfig ${kubeconfig} apply --dry-run=server -f - <<'END'\n${text}END\n`;
}

function outcomeOf(block: Block, index: number, output: string): Outcome {
  const [, part = ""] = output.split(`${mark}start ${index}\n`);
  const [own = ""] = part.split(`${mark}start `);
  const code = new RegExp(`^${mark}end (\\d+)$`, "m").exec(own)?.[1];
  return {
    block,
    output: own.replaceAll(new RegExp(`^${mark}.*\\n`, "gm"), ""),
    code: code === undefined ? undefined : Number(code),
    failures: [...own.matchAll(new RegExp(`^${mark}failed (.*)$`, "gm"))].map((match) => match[1] ?? ""),
  };
}

function problemsOf({ block, output, code, failures }: Outcome): string[] {
  const wanted = Number(valuesOf(block, "exit")[0] ?? 0);
  const problems: string[] = [];
  if (code === undefined) problems.push(`did not end within ${limitSeconds} s for the whole page`);
  else if (code !== wanted) problems.push(`ended with ${code} instead of ${wanted}`);
  if (wanted === 0) problems.push(...failures.map((failure) => `failed with ${failure}`));
  for (const text of valuesOf(block, "expect"))
    if (!output.includes(text)) problems.push(`did not print ${JSON.stringify(text)}`);
  return problems.map((problem) => `${block.line}: ${problem}; it printed:\n${output.trimEnd()}`);
}
