import { readFileSync } from "node:fs";
import { join } from "node:path";
import { leaveOutUnused } from "./leave-out.ts";
import { bundledPackages, type BundledPackage } from "./third-party.ts";

export const programs = ["cloudcore", "edgecore"] as const;
export type ProgramName = (typeof programs)[number];

export const targets = [
  "linux-x64",
  "linux-x64-baseline",
  "linux-arm64",
  "linux-x64-musl",
  "linux-arm64-musl",
] as const;
export type ReleaseTarget = (typeof targets)[number];

const entries = { cloudcore: "cloud/main.ts", edgecore: "edge/main.ts" } as const;

export interface Compilation {
  readonly root: string;
  readonly program: ProgramName;
  readonly target: ReleaseTarget;
  readonly folder: string;
  /** Which functions a start uses, see `recordOrders`. */
  readonly order?: string;
}

/**
 * How many times more often than usual a function runs before it is compiled to machine code, until the program has started and sets
 * this back: what only a start uses never is.
 */
const jitReluctance = 10;

/** The target that runs on this machine. */
export function hostTarget(): ReleaseTarget {
  return process.arch === "arm64" ? "linux-arm64" : "linux-x64";
}

export interface Executable {
  readonly file: string;
  /** What of npm is inside. */
  readonly packages: readonly BundledPackage[];
}

/** Makes one executable that needs nothing beside it. */
export async function compile({ root, program, target, folder, order }: Compilation): Promise<Executable> {
  const outfile = join(folder, program);
  const result = await Bun.build({
    entrypoints: [join(root, entries[program])],
    root,
    target: "bun",
    format: "esm",
    minify: true,
    bytecode: true,
    // What is imported on demand is a file of its own: neither it nor its bytecode is loaded before.
    splitting: true,
    metafile: true,
    plugins: [leaveOutUnused],
    define: {
      KUBEEDGE_VERSION: JSON.stringify(readVersion(root)),
      KUBEEDGE_COMMIT: JSON.stringify(readCommit(root)),
      "process.env.NODE_ENV": '"production"',
    },
    compile: {
      target: `bun-${target}`,
      outfile,
      autoloadDotenv: false,
      autoloadBunfig: false,
      bytecodeOrder: order ?? false,
      jitPolicy: jitReluctance,
    },
  });
  if (!result.success) throw new AggregateError(result.logs, `Cannot build ${program} for ${target}`);
  const inputs = Object.keys(result.metafile?.inputs ?? {});
  if (inputs.length === 0) throw new Error(`Cannot list what is in ${program}: the bundler lists no inputs`);
  return { file: outfile, packages: bundledPackages(root, inputs) };
}

export function readVersion(root: string): string {
  return (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string }).version;
}

/** Short commit, with a mark when tracked files differ from it. */
function readCommit(root: string): string {
  const git = (...words: string[]): string =>
    Bun.spawnSync(["git", ...words], { cwd: root, stderr: "ignore" })
      .stdout.toString()
      .trim();
  const commit = git("rev-parse", "--short=12", "HEAD");
  if (commit === "") return "unknown";
  return git("status", "--porcelain", "--untracked-files=no") === "" ? commit : `${commit}-changed`;
}
