import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cloudDefaults, cloudTable, edgeDefaults, edgeTable } from "#shared/config";

/** Writes what is made from the tables of fields: `conf/controller.yaml`, `conf/edge.yaml` and the reference in README.md. */
const root = join(import.meta.dir, "..");
writeFileSync(join(root, "conf/controller.yaml"), cloudDefaults());
writeFileSync(join(root, "conf/edge.yaml"), edgeDefaults());
const readme = join(root, "README.md");
let text = readFileSync(readme, "utf8");
for (const [name, table] of [
  ["controller.yaml", cloudTable()] as const,
  ["edge.yaml", edgeTable()] as const,
]) {
  const [start, end] = [`<!-- fields of ${name} -->`, `<!-- end of ${name} -->`];
  const [before, rest = ""] = text.split(start);
  const after = rest.split(end)[1];
  if (before === undefined || after === undefined) throw new Error(`README.md: ${start} … ${end} not found`);
  text = `${before}${start}\n\n${table}\n\n${end}${after}`;
}
writeFileSync(readme, text);
const format = Bun.spawnSync([process.execPath, "fmt", "--no-script", "README.md", "conf"], { cwd: root });
process.exitCode = format.exitCode;
