import { expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { blocksOf } from "./markdown.ts";
import { runPage } from "./page-run.ts";

async function problems(text: string): Promise<string[]> {
  using dir = tempDir("page-run");
  mkdirSync(join(dir.path, ".run"));
  const place = { path: dir.path, env: {}, translate: (commands: string) => commands };
  return await runPage({ file: "page.md", text, blocks: blocksOf(text) }, place);
}

const block = (markers: string, commands: string): string => `${markers}\n\n\`\`\`sh\n${commands}\n\`\`\`\n`;

test("a page has no problem when its commands succeed and print what is expected", async () => {
  const text =
    block("<!-- run: demo -->\n<!-- expect: 42 -->", "X=42\necho $X") +
    block("<!-- run: demo -->\n<!-- expect: still 42 -->", "echo still $X");
  expect(await problems(text)).toEqual([]);
});

test("a page has a problem when a command in the middle of a block fails", async () => {
  expect(await problems(block("<!-- run: demo -->", "echo a\nfalse\necho b"))).toEqual([
    "page.md:3: failed with 1 false; it printed:\na\nb",
  ]);
});

test("a page has a problem when the output lacks what is expected", async () => {
  expect(await problems(block("<!-- run: demo -->\n<!-- expect: b -->", "echo a"))).toEqual([
    'page.md:4: did not print "b"; it printed:\na',
  ]);
});

test("a page has a problem when a command exits with another code than the page expects", async () => {
  const ends = (code: number): string => block("<!-- run: demo -->\n<!-- exit: 3 -->", `(exit ${code})`);
  expect(await problems(ends(3))).toEqual([]);
  expect(await problems(ends(4))).toEqual(["page.md:4: ended with 4 instead of 3; it printed:\n"]);
});

test("a page has a problem when its shell ends early", async () => {
  expect(await problems(block("<!-- run: demo -->", "exit 0"))).toEqual([
    "page.md:3: did not end within 40 s for the whole page; it printed:\n",
  ]);
});
