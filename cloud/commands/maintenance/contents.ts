import { existsSync } from "node:fs";
import { join } from "node:path";
import type { CloudConfig } from "#shared/config";
import { databaseFiles } from "#shared/files";

export const databaseFile = "cloudcore.db";
export const telemetryFile = "telemetry.db";
/** Messages of rules that wait: nodes and clients count on it that they are delivered. */
export const routerFile = "router.db";
const databases: readonly string[] = [databaseFile, routerFile, telemetryFile];
const pairs = ["ca/rootCA.crt", "ca/rootCA.key", "certs/server.crt", "certs/server.key"];
const plain = [
  "secrets.key",
  "kubeconfig",
  ...pairs,
  ...pairs.map((name) => `embedded/${name}`),
  "embedded/clients/ca/rootCA.crt",
  "embedded/clients/ca/rootCA.key",
  "embedded/proxy/ca/rootCA.crt",
  "embedded/proxy/ca/rootCA.key",
  "embedded/admin-token",
];

/** What a backup may contain, by path below the data directory. */
export const backupNames: readonly string[] = [...databases, ...plain];

/** Files that are copied as they are. */
export function plainFiles(dataDir: string): string[] {
  return plain.filter((name) => existsSync(join(dataDir, name)));
}

/** All files of cloudcore in a data directory that a restore replaces. */
export function ownFiles(dataDir: string): string[] {
  const names = [...databases.flatMap((name) => databaseFiles(name)), ...plain];
  return names.filter((name) => existsSync(join(dataDir, name)));
}

/** Files outside the data directory, which a backup of this configuration does not include. */
export function keptElsewhere({ cloudHub, embedded }: CloudConfig): string[] {
  const { caFile, caKeyFile, certFile, keyFile } = cloudHub;
  return [caFile, caKeyFile, certFile, keyFile, embedded?.encryptionKeyFile].filter(
    (path) => path !== undefined,
  );
}
