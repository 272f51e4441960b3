import { ConfigError, quote } from "#shared/errors";
import type { TarEntry } from "./tar.ts";

export const manifestName = "manifest.json";
const format = 1;

/** The last entry of a backup: what has to be in it. */
export interface Manifest {
  readonly format: number;
  readonly program: "cloudcore";
  readonly version: string;
  readonly createdAt: string;
  readonly files: readonly TarEntry[];
  /** Paths of files that belong to the data and are kept elsewhere. */
  readonly leftOut: readonly string[];
}

export function newManifest(parts: Omit<Manifest, "format" | "program">): string {
  return `${JSON.stringify({ format, program: "cloudcore", ...parts }, undefined, 2)}\n`;
}

/** @throws ConfigError when the backup is not what its manifest says, or has none */
export function checkManifest(
  file: string,
  text: string | undefined,
  entries: readonly TarEntry[],
): Manifest {
  const manifest = text === undefined ? undefined : parse(text);
  if (manifest?.program !== "cloudcore")
    throw refusal(file, "it has no manifest: it is damaged or no backup");
  if (manifest.format !== format)
    throw refusal(
      file,
      `it has format ${manifest.format}, this cloudcore reads ${format}: use the cloudcore of version ${manifest.version}`,
    );
  const found = new Map(entries.map((entry) => [entry.path, entry]));
  const wrong = manifest.files.find(({ path, sha256 }) => found.get(path)?.sha256 !== sha256);
  if (wrong) throw refusal(file, `${wrong.path} in it is damaged: its checksum is another one`);
  if (found.size !== manifest.files.length)
    throw refusal(file, "it contains files that its manifest does not list");
  return manifest;
}

export function refusal(file: string, why: string): ConfigError {
  return new ConfigError("bad-backup", `Cannot restore ${quote(file)}: ${why}; nothing was changed`);
}

function parse(text: string): Manifest | undefined {
  try {
    const manifest = JSON.parse(text) as Partial<Manifest> | null;
    return manifest && Array.isArray(manifest.files) ? (manifest as Manifest) : undefined;
  } catch {
    return undefined;
  }
}
