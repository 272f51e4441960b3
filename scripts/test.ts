import { join } from "node:path";
import { findEngine } from "./engine.ts";
import { formatReport, readTestOutput } from "./test-report.ts";

/** What scripts/test.sh runs once everything is installed: `bun test`, with an engine, and the closing lines. */
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
const report = readTestOutput(text);
console.log(formatReport({ ...report, failed: code === 0 ? report.failed : Math.max(1, report.failed) }));
process.exitCode = code;
