import { ConfigError, quote } from "#shared/errors";
import type { TarEntry } from "./tar.ts";

export const manifestName = "manifest.json";
const format = 1;

/** The last entry of a backup: a list of the others with checksums. */
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

/** @throws ConfigError when the backup has no manifest, or does not match it */
export function checkManifest(
  file: string,
  text: string | undefined,
  entries: readonly TarEntry[],
): Manifest {
  const manifest = text === undefined ? undefined : parse(text);
  if (manifest?.program !== "cloudcore")
    throw badBackup(file, "it has no manifest: it is damaged or not a backup");
  if (manifest.format !== format)
    throw badBackup(
      file,
      `it has format ${manifest.format}, this cloudcore reads ${format}: use cloudcore ${manifest.version}`,
    );
  const found = new Map(entries.map((entry) => [entry.path, entry]));
  const wrong = manifest.files.find(({ path, sha256 }) => found.get(path)?.sha256 !== sha256);
  if (wrong) throw badBackup(file, `${wrong.path} in it is damaged: its checksum does not match`);
  if (found.size !== manifest.files.length)
    throw badBackup(file, "it contains files that its manifest does not list");
  return manifest;
}

export function badBackup(file: string, why: string): ConfigError {
  return new ConfigError("bad-backup", `Cannot restore ${quote(file)}: ${why}; nothing was changed`);
}

function parse(text: string): Manifest | undefined {
  try {
    // Written by newManifest, or damaged, which the checksums then show.
    const manifest = JSON.parse(text) as Manifest | null;
    return Array.isArray(manifest?.files) ? manifest : undefined;
  } catch {
    return undefined;
  }
}
