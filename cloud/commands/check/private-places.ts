import { join } from "node:path";
import type { CloudConfig } from "#shared/config";
import { databaseFiles, type PrivatePlaces } from "#shared/files";

/** Files and folders of cloudcore that only its user may read. */
export function cloudPrivatePlaces({ dataDir }: Pick<CloudConfig, "dataDir">): PrivatePlaces {
  const paths = (...names: readonly string[]): string[] => names.map((name) => join(dataDir, name));
  return {
    home: dataDir,
    folders: [
      ...paths("ca", "certs", "embedded", "embedded/ca", "embedded/certs"),
      ...paths("embedded/clients", "embedded/clients/ca", "embedded/proxy", "embedded/proxy/ca"),
    ],
    files: [
      ...paths("kubeconfig", "secrets.key"),
      ...paths("cloudcore.db", "telemetry.db", "router.db").flatMap((path) => databaseFiles(path)),
    ],
  };
}
