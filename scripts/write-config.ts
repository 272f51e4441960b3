import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cloudDefaults, cloudReference, edgeDefaults, edgeReference } from "#shared/config";

/** Writes what is made from the tables of fields: `conf/controller.yaml`, `conf/edge.yaml` and the reference in docs/configuration.md. */
const root = join(import.meta.dir, "..");
writeFileSync(join(root, "conf/controller.yaml"), cloudDefaults());
writeFileSync(join(root, "conf/edge.yaml"), edgeDefaults());
const page = join(root, "docs/configuration.md");
let text = readFileSync(page, "utf8");
for (const [name, reference] of [
  ["controller.yaml", cloudReference()] as const,
  ["edge.yaml", edgeReference()] as const,
]) {
  const [start, end] = [`<!-- fields of ${name} -->`, `<!-- end of ${name} -->`];
  const [before, rest = ""] = text.split(start);
  const after = rest.split(end)[1];
  if (before === undefined || after === undefined) throw new Error(`${page}: ${start} … ${end} not found`);
  text = `${before}${start}\n\n${reference}\n\n${end}${after}`;
}
writeFileSync(page, text);
const format = Bun.spawnSync([process.execPath, "fmt", "--no-script", "docs/configuration.md", "conf"], {
  cwd: root,
});
process.exitCode = format.exitCode;
