import { existsSync } from "node:fs";
import { join } from "node:path";

const dist = join(import.meta.dir, "../../dist");

/** Sizes of what is in dist/ now; archives only after `bun run build:all`. */
export async function benchSizes(): Promise<{ name: string; value: number; unit: string }[]> {
  const files = ["cloudcore", "edgecore"];
  for (const target of ["linux-x64", "linux-arm64"])
    files.push(`cloudcore-${target}.tar.xz`, `edgecore-${target}.tar.xz`);
  const figures = files
    .filter((file) => existsSync(join(dist, file)))
    .map((file) => ({ name: `size of ${file}`, value: Bun.file(join(dist, file)).size / 1e6, unit: "MB" }));
  const bun = Bun.file(process.execPath).size / 1e6;
  return [{ name: "size of bun itself", value: bun, unit: "MB" }, ...figures];
}
