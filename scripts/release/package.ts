import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { ProgramName, ReleaseTarget } from "./compile.ts";

export interface Packing {
  readonly root: string;
  readonly program: ProgramName;
  readonly version: string;
  readonly target: ReleaseTarget;
  readonly file: string;
  /** licenses of what is bundled */
  readonly notices: string;
  readonly dist: string;
}

const configs = { cloudcore: "controller.yaml", edgecore: "edge.yaml" } as const;

/** Packs an executable with its default config, systemd unit and licenses. @returns the path of the .tar.xz */
export async function pack(packing: Packing): Promise<string> {
  const { root, program, version, target, file, notices, dist } = packing;
  const folder = mkdtempSync(join(tmpdir(), "kubeedge-pack-"));
  try {
    const name = `${program}-${version}-${target}`;
    const inside = join(folder, name);
    mkdirSync(join(inside, "conf"), { recursive: true });
    cpSync(file, join(inside, program));
    cpSync(join(root, "conf", configs[program]), join(inside, "conf", configs[program]));
    cpSync(join(root, "conf/systemd", `${program}.service`), join(inside, `${program}.service`));
    cpSync(join(root, "LICENSE"), join(inside, "LICENSE"));
    writeFileSync(join(inside, "THIRD_PARTY_NOTICES"), notices);
    const archive = join(dist, `${name}.tar.xz`);
    await run([
      "tar",
      "--sort=name",
      "--owner=0",
      "--group=0",
      "--numeric-owner",
      "-C",
      folder,
      "-I",
      "xz -9 -T0",
      "-cf",
      archive,
      name,
    ]);
    return archive;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Writes `SHA256SUMS` beside the archives, as `sha256sum -c` reads it. */
export async function writeSums(dist: string, files: readonly string[]): Promise<string> {
  const lines = await Promise.all(
    files.map(async (file) => {
      const hash = new Bun.CryptoHasher("sha256").update(await Bun.file(file).bytes()).digest("hex");
      return `${hash}  ${basename(file)}\n`;
    }),
  );
  writeFileSync(join(dist, "SHA256SUMS"), lines.join(""));
  return lines.join("").trimEnd();
}

async function run(words: readonly string[]): Promise<void> {
  const child = Bun.spawn([...words], { stdout: "inherit", stderr: "inherit" });
  const code = await child.exited;
  if (code !== 0) throw new Error(`${words[0]} ended with ${code}`);
}
