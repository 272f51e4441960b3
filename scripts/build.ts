import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { compile, hostTarget, programs, targets, type Target } from "./compile.ts";
import { pack, writeSums } from "./package.ts";

/**
 * `bun run build`: dist/cloudcore and dist/edgecore for this machine.
 * `bun run build:all`: dist/<target>/… for every target, packed with config and systemd unit, and dist/SHA256SUMS;
 * packing takes a minute an archive, --no-archives leaves it out, --target NAME builds one.
 */
const root = join(import.meta.dir, "..");
const dist = join(root, "dist");
const { values } = parseArgs({
  options: {
    all: { type: "boolean" },
    "no-archives": { type: "boolean" },
    target: { type: "string", multiple: true },
  },
});

function wanted(): readonly Target[] {
  if (values.all === true) return targets;
  return (values.target ?? []).map((name) => {
    const target = targets.find((one) => one === name);
    if (target === undefined)
      throw new Error(`Unknown target "${name}", expected one of ${targets.join(", ")}`);
    return target;
  });
}

function report(file: string): void {
  const { size } = Bun.file(file);
  console.log(`${file.slice(root.length + 1).padEnd(48)} ${(size / 1e6).toFixed(1).padStart(7)} MB`);
}

async function buildFor(target: Target): Promise<string[]> {
  const folder = join(dist, target);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  const archives: string[] = [];
  for (const program of programs) {
    const file = await compile({ root, program, target, folder });
    report(file);
    if (values["no-archives"] !== true) archives.push(await pack({ root, program, target, file, dist }));
  }
  for (const archive of archives) report(archive);
  return archives;
}

const cross = wanted();
mkdirSync(dist, { recursive: true });
if (cross.length === 0) {
  for (const program of programs)
    report(await compile({ root, program, target: hostTarget(), folder: dist }));
} else {
  const archives: string[] = [];
  for (const target of cross) archives.push(...(await buildFor(target)));
  if (archives.length > 0) console.log(await writeSums(dist, archives));
}
