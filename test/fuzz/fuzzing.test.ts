import { expect, test } from "bun:test";
import { join } from "node:path";
import { budget, secondsInCi } from "./fuzzing.ts";

test("fuzzing takes two minutes of a test run at most", () => {
  const seconds = Object.values(budget).reduce<number>((sum, each) => sum + each, 0);
  expect(seconds).toBeLessThanOrEqual(secondsInCi);
});

test("fuzzing prints seed, path and the failing case, and finds it again by them", () => {
  const file = join(import.meta.dir, "broken-property.ts");
  const run = (env: Record<string, string>): string => {
    const child = Bun.spawnSync([process.execPath, "test", `./${file}`.replace(/^\.\/\//, "/")], {
      env: { ...process.env, FUZZ_MINUTES: "0.5", ...env },
      stdout: "pipe",
      stderr: "pipe",
    });
    return child.stdout.toString() + child.stderr.toString();
  };
  const said = run({});
  const [, seed = "", path = ""] = /--seed (-?\d+) --path ([\d:]+)/.exec(said) ?? [];
  expect(said).toContain("Counterexample: [1000]");
  const again = run({ FUZZ_SEED: seed, FUZZ_PATH: path });
  expect(again).toContain("Property failed after 1 tests");
  expect(again).toContain("Counterexample: [1000]");
});
