import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * `bun run bench [word …] [--save] [--archives]`: runs every exported function `bench…` below test/bench (those whose
 * name has a word, if any are given) and prints its figures beside those of test/bench/baseline.json; --save writes them
 * there, --archives packs as for a release to know the size.
 * Everything runs on dist/cloudcore and dist/edgecore: build them first.
 */
interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

const root = join(import.meta.dir, "..");
const baselineFile = join(root, "test/bench/baseline.json");
const words = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const save = process.argv.includes("--save");
type Baseline = Record<string, { value: number; unit: string }>;
const baseline = existsSync(baselineFile) ? (JSON.parse(readFileSync(baselineFile, "utf8")) as Baseline) : {};

async function findCases(): Promise<[string, () => Promise<readonly Figure[]>][]> {
  const files = [...new Bun.Glob("**/*.ts").scanSync({ cwd: join(root, "test/bench") })].sort();
  const cases: [string, () => Promise<readonly Figure[]>][] = [];
  for (const file of files) {
    const text = readFileSync(join(root, "test/bench", file), "utf8");
    if (!/export async function bench/.test(text)) continue;
    const exported = (await import(join(root, "test/bench", file))) as Record<string, unknown>;
    for (const [name, value] of Object.entries(exported))
      if (name.startsWith("bench") && typeof value === "function")
        cases.push([name, value as () => Promise<readonly Figure[]>]);
  }
  return cases.filter(
    ([name]) => words.length === 0 || words.some((word) => name.toLowerCase().includes(word.toLowerCase())),
  );
}

function print({ name, value, unit }: Figure): void {
  const before = baseline[name]?.value;
  const change =
    before === undefined || before === 0 ? "" : `${(((value - before) / before) * 100).toFixed(0)} %`;
  const shown = Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2);
  const old =
    before === undefined ? "" : `before ${Math.abs(before) >= 100 ? before.toFixed(0) : before.toFixed(2)}`;
  console.log(
    `${name.padEnd(58)} ${shown.padStart(10)} ${unit.padEnd(4)} ${old.padEnd(16)} ${change.padStart(6)}`.trimEnd(),
  );
}

for (const program of ["cloudcore", "edgecore"])
  if (!existsSync(join(root, "dist", program)))
    throw new Error(`dist/${program} is missing: run \`bun run build\``);

const measured: Baseline = {};
let failed = 0;
for (const [name, run] of await findCases()) {
  console.log(`\n${name}`);
  try {
    for (const figure of await run()) {
      print(figure);
      measured[figure.name] = { value: Number(figure.value.toPrecision(4)), unit: figure.unit };
    }
  } catch (error) {
    failed += 1;
    console.log(`failed: ${error instanceof Error ? error.message : String(error)}`);
  }
}
if (save) writeFileSync(baselineFile, `${JSON.stringify({ ...baseline, ...measured }, undefined, 2)}\n`);
process.exitCode = failed === 0 ? 0 : 1;
