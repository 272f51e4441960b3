import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { needs } from "#internal/test/support/needs.ts";
import { differences } from "./mqtt/differences.ts";
import { leftOut } from "./mqtt/left-out.ts";
import { isSuiteReady, listScripts, runScripts, suiteVersion, type ScriptResult } from "./mqtt/scripts.ts";

/**
 * mosquitto's own tests of a broker, by Eclipse, run against the built-in broker in place of mosquitto. They come with
 * Debian's source package, which `scripts/prepare.sh` downloads. docs/mqtt.md has the counts as a table: it has to equal
 * what ran.
 */
const page = readFileSync(join(import.meta.dir, "../../docs/mqtt.md"), "utf8");

/** The version and the table below "### Conformance": count by description. */
function readClaim(): Record<string, number | string> {
  const section = page.split("### Conformance")[1]?.split("\n## ")[0] ?? "";
  const rows = section.matchAll(/^\| *(.+?) *\| *(\d+) *\|$/gm);
  const counts = [...rows].map(([, text = "", count]) => [text, Number(count)]);
  return { version: /mosquitto ([\d.]+)'s/.exec(section)?.[1] ?? "", ...Object.fromEntries(counts) };
}

const ready = needs({
  "mosquitto's tests, which scripts/prepare.sh could not get (see .run/mqtt-tests.log)": isSuiteReady,
});

test.skipIf(!ready)(
  "the built-in broker passes mosquitto's tests as docs/mqtt.md claims, except for the differences named here",
  async () => {
    const outcomes = await runScripts();
    const named = (result: ScriptResult): string[] =>
      [...outcomes].filter(([, outcome]) => outcome.result === result).map(([name]) => name);
    const failed = named("failed");
    const unexpected = failed.filter((name) => differences[name] === undefined);
    expect(Object.fromEntries(unexpected.map((name) => [name, outcomes.get(name)?.output]))).toEqual({});
    expect(failed.toSorted()).toEqual(Object.keys(differences).toSorted());
    const notRun = leftOut.map(({ scripts, reason }) => [
      `not run: ${reason}`,
      listScripts().filter((name) => scripts.test(name)).length,
    ]);
    expect(readClaim()).toEqual({
      version: suiteVersion(),
      passed: named("passed").length,
      "differ on purpose": failed.length,
      ...Object.fromEntries(notRun),
      "all scripts": listScripts().length,
    });
  },
  300_000,
);

test.skipIf(!ready)("every script of mosquitto's tests is run or left out for one reason", () => {
  const reasons = listScripts().map((name) => leftOut.filter(({ scripts }) => scripts.test(name)).length);
  expect(Math.max(...reasons)).toBe(1);
  for (const { scripts, reason } of leftOut)
    expect([reason, listScripts().some((name) => scripts.test(name))]).toEqual([reason, true]);
});
