import { join } from "node:path";
import type { CloudConfig } from "#shared/config";
import { databaseFiles, type PrivatePlaces } from "#shared/files";

/** What cloudcore keeps that nobody else may read. */
export function cloudPrivatePlaces({ dataDir }: Pick<CloudConfig, "dataDir">): PrivatePlaces {
  const at = (...names: readonly string[]): string[] => names.map((name) => join(dataDir, name));
  return {
    home: dataDir,
    folders: at("ca", "certs", "embedded", "embedded/ca", "embedded/certs"),
    files: [
      ...at("kubeconfig", "secrets.key"),
      ...at("cloudcore.db", "telemetry.db").flatMap((path) => databaseFiles(path)),
    ],
  };
}
