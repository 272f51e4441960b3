import { join } from "node:path";
import { findEngine } from "./engine.ts";

/** What scripts/test.sh runs once everything is installed: `bun test`, with an engine, and one closing line. */
const root = join(import.meta.dir, "..");
await using _engine = await findEngine(join(root, ".run/docker"), { atSystemSocket: true });
const words = [
  process.execPath,
  "test",
  "--isolate",
  "--randomize",
  "--timeout",
  "60000",
  ...process.argv.slice(2),
];
const child = Bun.spawn(words, {
  cwd: root,
  stdin: "ignore",
  stdout: "inherit",
  stderr: "pipe",
});

let text = "";
const decoder = new TextDecoder();
for await (const chunk of child.stderr) {
  process.stderr.write(chunk);
  text += decoder.decode(chunk, { stream: true });
}
const code = await child.exited;

function count(word: string): number {
  return Number([...text.matchAll(new RegExp(`^ *(\\d+) ${word}$`, "gm"))].at(-1)?.[1] ?? 0);
}

const failed = count("fail") + count("errors?");
console.log(`${count("pass")} passed, ${code === 0 ? failed : Math.max(1, failed)} failed`);
process.exitCode = code;
