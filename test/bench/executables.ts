import { existsSync } from "node:fs";
import { join } from "node:path";
import { run } from "#internal/scripts/service.ts";

const root = join(import.meta.dir, "../..");
const dist = join(root, "dist");

/** Sizes of what is in dist/ now; with --archives those of linux-x64 are packed first, which takes minutes. */
export async function benchSizes(): Promise<{ name: string; value: number; unit: string }[]> {
  if (process.argv.includes("--archives"))
    await run([process.execPath, "scripts/build.ts", "--target", "linux-x64"], { cwd: root });
  const files = ["cloudcore", "edgecore"];
  for (const target of ["linux-x64", "linux-arm64"])
    files.push(`cloudcore-${target}.tar.xz`, `edgecore-${target}.tar.xz`);
  const figures = files
    .filter((file) => existsSync(join(dist, file)))
    .map((file) => ({ name: `size of ${file}`, value: Bun.file(join(dist, file)).size / 1e6, unit: "MB" }));
  const bun = Bun.file(process.execPath).size / 1e6;
  return [{ name: "size of bun itself", value: bun, unit: "MB" }, ...figures];
}
