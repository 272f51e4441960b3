/**
 * Writes edge/commands/mapper/sdk/index.js.txt and index.d.ts.txt, the package @kubeedge-bun/mapper as `edgecore new-mapper` puts it
 * into a project: shared/mapper in one file that needs nothing else, and its types.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "../shared/mapper");

/** The files of the package by their names. */
export async function bundleMapper(): Promise<Readonly<Record<string, string>>> {
  const { outputs } = await Bun.build({
    entrypoints: [join(root, "index.ts")],
    target: "bun",
    minify: { whitespace: true, syntax: true },
  });
  const declarations = readFileSync(join(root, "driver.ts"), "utf8");
  const start = `
/** Runs a mapper; it registers as soon as edgecore is there. Rejects when its socket cannot be served. */
export declare function startMapper<Config = Settings, Visitor = Settings>(
  options: MapperOptions<Config, Visitor>,
): Promise<Mapper>;

/** As startMapper, until SIGTERM or SIGINT: then the devices are stopped. */
export declare function runMapper<Config = Settings, Visitor = Settings>(
  options: MapperOptions<Config, Visitor>,
): Promise<void>;
`;
  return { "index.js": (await outputs[0]?.text()) ?? "", "index.d.ts": `${declarations}${start}` };
}

if (import.meta.main)
  for (const [name, text] of Object.entries(await bundleMapper()))
    writeFileSync(join(import.meta.dir, "../edge/commands/mapper/sdk", `${name}.txt`), text);
