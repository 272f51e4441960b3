import { existsSync } from "node:fs";
import { join } from "node:path";
import { readVersion } from "#internal/scripts/release/compile.ts";
import { run } from "#internal/scripts/service.ts";

const root = join(import.meta.dir, "../..");
const dist = join(root, "dist");

/** Sizes of what is in dist/ now; with --archives those of linux-x64 are packed first, which takes minutes. */
export async function benchSizes(): Promise<{ name: string; value: number; unit: string }[]> {
  if (process.argv.includes("--archives"))
    await run([process.execPath, "scripts/release/build.ts", "--target", "linux-x64"], { cwd: root });
  const version = readVersion(root);
  // Figures are named without the version, to be compared with those of other versions.
  const files = new Map([
    ["cloudcore", "cloudcore"],
    ["edgecore", "edgecore"],
  ]);
  for (const target of ["linux-x64", "linux-arm64"])
    for (const program of ["cloudcore", "edgecore"])
      files.set(`${program}-${target}.tar.xz`, `${program}-${version}-${target}.tar.xz`);
  const figures = [...files]
    .filter(([, file]) => existsSync(join(dist, file)))
    .map(([name, file]) => ({
      name: `size of ${name}`,
      value: Bun.file(join(dist, file)).size / 1e6,
      unit: "MB",
    }));
  const bun = Bun.file(process.execPath).size / 1e6;
  return [{ name: "size of bun itself", value: bun, unit: "MB" }, ...figures];
}
