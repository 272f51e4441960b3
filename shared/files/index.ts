/**
 * Files nobody else may read, written whole or not at all: a crash, a full disk or a loss of power leaves the old
 * file or the new one. And how much room there is for them.
 */
export { readFileSystem, toFileSystemAmounts, type FileSystemAmounts } from "./file-system.ts";
export { asideOf, setDatabaseAside } from "./aside.ts";
export { commitFile, stagedName, stageFile, syncFolder, writeAll, writeWhole } from "./whole-file.ts";
export {
  createPrivateFile,
  databaseFiles,
  findExposed,
  tightenExposed,
  type Exposed,
  type PrivatePlaces,
} from "./private-places.ts";
