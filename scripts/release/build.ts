import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { billOfMaterials, type Release } from "./bill-of-materials.ts";
import { compile, hostTarget, programs, readVersion, targets, type ReleaseTarget } from "./compile.ts";
import { pack, writeSums } from "./package.ts";
import { recordOrders, type Orders } from "./record-order.ts";
import { thirdPartyNotices } from "./third-party.ts";

/**
 * `bun run build`: dist/cloudcore and dist/edgecore for this machine.
 * `bun run build:all`: dist/<target>/… for every target, packed with config, systemd unit and
 * licenses, a CycloneDX bill of materials for each program, and dist/SHA256SUMS;
 * packing takes a minute an archive, --no-archives leaves it out, --target NAME builds one.
 */
const root = join(import.meta.dir, "../..");
const dist = join(root, "dist");
const { values } = parseArgs({
  options: {
    all: { type: "boolean" },
    "no-archives": { type: "boolean" },
    target: { type: "string", multiple: true },
  },
});

function wanted(): readonly ReleaseTarget[] {
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

async function buildFor(target: ReleaseTarget, orders: Orders): Promise<string[]> {
  const folder = join(dist, target);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  const files: string[] = [];
  const version = readVersion(root);
  for (const program of programs) {
    const { file, packages } = await compile({ root, program, target, folder, order: orders.of(program) });
    report(file);
    if (values["no-archives"] === true) continue;
    const notices = thirdPartyNotices(root, packages);
    files.push(await pack({ root, program, version, target, file, notices, dist }));
    files.push(writeBillOfMaterials({ program, version, packages }));
  }
  for (const file of files) report(file);
  return files;
}

/** What is bundled is the same for every target, and so is this file. */
function writeBillOfMaterials(release: Release): string {
  const file = join(dist, `${release.program}.cdx.json`);
  writeFileSync(file, billOfMaterials(release));
  return file;
}

const cross = wanted();
mkdirSync(dist, { recursive: true });
using orders = await recordOrders(root);
if (cross.length === 0) {
  for (const program of programs) {
    const order = orders.of(program);
    report((await compile({ root, program, target: hostTarget(), folder: dist, order })).file);
  }
} else {
  const files = new Set<string>();
  for (const target of cross) for (const file of await buildFor(target, orders)) files.add(file);
  if (files.size > 0) console.log(await writeSums(dist, [...files]));
}
