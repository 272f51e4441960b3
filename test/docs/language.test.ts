import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { edgeReference, cloudReference } from "#shared/config";
import { proseOf, readPages, root } from "./markdown.ts";
import { oddPhrases } from "./phrases.ts";

/** Words somebody searches for, which have to be found in the documentation. */
const terms = [
  "backpressure",
  "rate limited",
  "gracefully",
  "expired",
  "stale",
  "evict",
  "certificate rotation",
  "air-gapped",
  "unauthenticated",
  "history",
  "back-off",
  "retained",
];

const pages = readPages();

test.each(pages.map((page) => [page.file, page] as const))(
  "%s is written in the terms of the field",
  (_file, page) => {
    expect(oddPhrases(proseOf(page))).toEqual([]);
  },
);

test.each([
  ["controller.yaml", cloudReference],
  ["edge.yaml", edgeReference],
])("descriptions of %s are written in the terms of the field", (_file, reference) => {
  expect(oddPhrases(reference())).toEqual([]);
});

test.each([
  ["cloudcore", ["cloud/main.ts"]],
  ["edgecore", ["edge/main.ts"]],
  ["edgecore simulate", ["edge/main.ts", "simulate"]],
])(
  "help of %s is written in the terms of the field and fits a terminal",
  (_program, [main = "", ...words]) => {
    const { stdout } = Bun.spawnSync([process.execPath, join(root, main), ...words, "--help"]);
    const lines = stdout.toString().split("\n");
    expect(lines.length).toBeGreaterThan(15);
    expect(oddPhrases(stdout.toString())).toEqual([]);
    expect(lines.filter((line) => line.length > 100)).toEqual([]);
  },
);

test.each(terms)("documentation has the term %s where a reader searches for it", (term) => {
  expect(
    pages.filter(({ file, text }) => file.startsWith("docs/") && text.toLowerCase().includes(term)).length,
  ).toBeGreaterThan(0);
});

const sources = [...new Bun.Glob("{cloud,edge,shared,scripts,test}/**/*.ts").scanSync({ cwd: root })]
  .filter((file) => file !== "test/docs/phrases.ts")
  .sort();

test("comments and texts of the source are written in the terms of the field", () => {
  const found = sources.flatMap((file) =>
    oddPhrases(proseOfSource(readFileSync(join(root, file), "utf8"))).map((problem) => `${file}: ${problem}`),
  );
  expect(found).toEqual([]);
}, 60_000);

/** Comments and literals where they stand, everything else blank. */
function proseOfSource(text: string): string {
  const prose = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g;
  let result = "";
  let end = 0;
  for (const { 0: part, index } of text.matchAll(prose)) {
    result += `${text.slice(end, index).replaceAll(/[^\n]/g, " ")}${part}`;
    end = index + part.length;
  }
  return result;
}
