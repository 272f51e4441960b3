import { join } from "node:path";
import type { EdgeConfig } from "#shared/config";
import { databaseFiles, type PrivatePlaces } from "#shared/files";

/** What edgecore keeps that nobody else may read. Modes of the volumes of pods are the pods' matter. */
export function edgePrivatePlaces({ dataDir, databasePath }: EdgeConfig): PrivatePlaces {
  return {
    home: dataDir,
    folders: [join(dataDir, "certs")],
    folderAlone: [join(dataDir, "pods")],
    files: databaseFiles(databasePath),
  };
}
