/** What `bun test` wrote to its standard error, read for the closing lines of scripts/test.ts. */
export interface TestReport {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly skips: readonly Skip[];
  readonly failures: readonly Failure[];
}

export interface Skip {
  readonly file: string;
  readonly name: string;
  /** What the file printed as `skipped: …`. */
  readonly reason: string;
}

export interface Failure {
  readonly file: string;
  readonly name: string;
  /** Everything written since the result before, its errors and logs. */
  readonly output: string;
}

const result = /^\((pass|fail|skip|todo)\) (.*?)(?: \[[\d.]+m?s\])?$/;
const header = /^(\S+\.test\.ts):$/;
const unhandled = "# Unhandled error between tests";
/** Behind it bun repeats the results that failed or were skipped. */
const closing = /^\d+ tests? (?:failed|skipped|todo):$/;

interface Result {
  readonly file: string;
  readonly outcome: string;
  readonly name: string;
  /** Everything written since the result before. */
  readonly output: string;
}

export function readTestOutput(text: string): TestReport {
  const results = [...resultsIn(text)];
  const reasons = new Map<string, string>();
  for (const { file, output } of results) {
    const reason = /^skipped:? (.*)$/m.exec(output)?.[1];
    if (reason !== undefined) reasons.set(file, reason);
  }
  return {
    passed: lastCount(text, "pass"),
    failed: lastCount(text, "fail") + lastCount(text, "errors?"),
    skipped: lastCount(text, "skip"),
    skips: results
      .filter(({ outcome }) => outcome === "skip")
      .map(({ file, name }) => ({ file, name, reason: reasons.get(file) ?? "no reason is given" })),
    failures: results
      .filter(({ outcome, output }) => outcome === "fail" || output.includes(unhandled))
      .map(({ file, name, outcome, output }) => ({
        file,
        name: outcome === "fail" ? name : "(between tests)",
        output,
      })),
  };
}

/** The results in order; what is written at the end of a file is a result without outcome. */
function* resultsIn(text: string): Iterable<Result> {
  const lines = text.split("\n").map((line) => line.trimEnd());
  const end = lines.findIndex((line) => closing.test(line));
  let file = "";
  let output: string[] = [];
  for (const line of end === -1 ? lines : lines.slice(0, end)) {
    const next = header.exec(line)?.[1];
    const [, outcome = "", name = ""] = result.exec(line) ?? [];
    if (next === undefined && outcome === "") {
      output.push(line);
      continue;
    }
    yield { file, outcome, name, output: output.join("\n").trim() };
    output = [];
    file = next ?? file;
  }
  yield { file, outcome: "", name: "", output: output.join("\n").trim() };
}

/** The number before a word in the summary of bun, 0 when it is not there. */
function lastCount(text: string, word: string): number {
  return Number([...text.matchAll(new RegExp(`^ *(\\d+) ${word}$`, "gm"))].at(-1)?.[1] ?? 0);
}

/** The lines that end a run: what failed once more, as a log may lack its middle; what was skipped; the counts. */
export function formatReport({ passed, failed, skipped, skips, failures }: TestReport): string {
  const again = failures.map(({ file, name, output }) => `\n== failed: ${file}: ${name}\n${output}`);
  const reasons = [...Map.groupBy(skips, ({ file, reason }) => `${file}: ${reason}`)].map(
    ([place, group]) => `  ${group.length} of ${place}`,
  );
  return [
    ...again,
    ...(reasons.length > 0 ? ["\nskipped tests:", ...reasons] : []),
    `${passed} passed, ${failed} failed, ${skipped} skipped`,
  ].join("\n");
}
