import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { copyDatabase, verifyDatabase } from "#cloud/kube-api/store";
import type { Operation } from "#shared/cli";
import type { CloudConfig } from "#shared/config";
import { ConfigError, describeError, quote } from "#shared/errors";
import { syncFolder } from "#shared/files";
import { version } from "#shared/release";
import { databaseFile, keptElsewhere, plainFiles, routerFile, telemetryFile } from "./contents.ts";
import { manifestName, newManifest } from "./manifest.ts";
import { refuseOperands } from "./places.ts";
import { addContent, addFile, endArchive, type TarEntry } from "./tar.ts";

/** `cloudcore backup FILE`: databases, keys and certificates in one archive, also while cloudcore runs. */
export const backupOperation: Operation<CloudConfig> = {
  switches: ["without-telemetry"],
  run: async (asked, config, host) => {
    refuseOperands(asked, 1);
    const [file] = asked.operands;
    if (file === undefined) throw new ConfigError("usage", "backup: expected a file name");
    const path = resolve(host.workingDir, file);
    const telemetry = !asked.flags.has("without-telemetry");
    const { files, leftOut } = writeBackup({
      path,
      config,
      telemetry,
      pid: host.pid,
      nowMs: host.clock.nowMs(),
    });
    const bytes = files.reduce((sum, { size }) => sum + size, 0);
    host.out(`wrote ${path}: ${files.length} files, ${bytes} bytes\n`);
    for (const name of leftOut) host.out(`not included: ${name}\n`);
    host.out("it contains the CA key and the encryption keys: store it securely\n");
    return 0;
  },
};

interface BackupOptions {
  readonly path: string;
  readonly config: CloudConfig;
  readonly telemetry: boolean;
  readonly pid: number;
  readonly nowMs: number;
}

interface WrittenBackup {
  readonly files: readonly TarEntry[];
  /** Paths of files that belong to the data and are not in the archive. */
  readonly leftOut: readonly string[];
}

/** @throws ConfigError; nothing is left of the new backup then, and an older one of the same name is unchanged */
function writeBackup(options: BackupOptions): WrittenBackup {
  const { path, pid } = options;
  removeLeftovers(path);
  let folder: string | undefined;
  try {
    // Others may be able to write to this folder: a private one inside keeps them from planting or reading files.
    folder = mkdtempSync(`${path}.${pid}.`);
    const staged = join(folder, "archive");
    const written = writeArchive(staged, join(folder, "copy"), options);
    renameSync(staged, path);
    syncFolder(dirname(path));
    return written;
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const text = `Cannot write backup ${quote(path)}: ${describeError(error)}; free space there, or choose another path`;
    throw new ConfigError("backup-failed", text, { cause: error });
  } finally {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  }
}

function writeArchive(
  staged: string,
  copy: string,
  { config, telemetry, nowMs }: BackupOptions,
): WrittenBackup {
  const { dataDir } = config;
  const archive = openSync(staged, "wx", 0o600);
  try {
    const files: TarEntry[] = [];
    const keyFile = config.embedded?.encryptionKeyFile ?? join(dataDir, "secrets.key");
    // The keys come after the database: a key added in between is one more, and none is missing.
    for (const name of [databaseFile, routerFile, ...(telemetry ? [telemetryFile] : [])]) {
      if (!existsSync(join(dataDir, name))) continue;
      copyDatabase(join(dataDir, name), copy);
      verifyDatabase(copy, name === databaseFile ? keyFile : undefined);
      files.push(addFile(archive, name, copy, nowMs));
      removeCopy(copy);
    }
    for (const name of plainFiles(dataDir)) files.push(addFile(archive, name, join(dataDir, name), nowMs));
    if (files.length === 0)
      throw new ConfigError(
        "nothing-there",
        `Cannot back up: ${quote(dataDir)} contains no files of cloudcore; set --data-dir`,
      );
    const leftOut = [...keptElsewhere(config), ...(telemetry ? [] : [telemetryFile])];
    const createdAt = new Date(nowMs).toISOString();
    addContent(
      archive,
      manifestName,
      Buffer.from(newManifest({ version, createdAt, files, leftOut })),
      nowMs,
    );
    endArchive(archive);
    fsyncSync(archive);
    return { files, leftOut };
  } finally {
    closeSync(archive);
  }
}

function removeCopy(copy: string): void {
  for (const end of ["", "-journal", "-wal", "-shm"]) rmSync(`${copy}${end}`, { force: true });
}

/** Removes what a killed backup of the same name has left. */
function removeLeftovers(path: string): void {
  const folder = dirname(path);
  if (!existsSync(folder))
    throw new ConfigError(
      "no-folder",
      `Cannot write backup ${quote(path)}: folder ${quote(folder)} does not exist; create it first`,
    );
  for (const name of readdirSync(folder)) {
    if (!name.startsWith(`${basename(path)}.`)) continue;
    const pid = /^\.(\d+)\.\w{6}$/.exec(name.slice(basename(path).length))?.[1];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    const isOurs = lstatSync(join(folder, name)).uid === process.geteuid?.();
    if (isOurs) rmSync(join(folder, name), { recursive: true, force: true });
  }
}
