import { readFileSync } from "node:fs";
import { join } from "node:path";
import { findViolations } from "./check.ts";

/** Checks the import boundaries of the whole tree; exit 1 and one line a breach when there are any. */
const root = join(import.meta.dir, "../..");
const files = [...new Bun.Glob("{cloud,edge,shared,scripts,test}/**/*.ts").scanSync({ cwd: root })].sort();
const violations = findViolations(
  new Map(files.map((file) => [file, readFileSync(join(root, file), "utf8")])),
);
for (const line of violations) console.error(line);
console.log(`${files.length} files, ${violations.length} boundary violations`);
process.exitCode = violations.length === 0 ? 0 : 1;
