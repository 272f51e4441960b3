import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { renumberDatabase, repairDatabase, verifyDatabase } from "#cloud/kube-api/store";
import { openDataDir, type Host, type Operation } from "#shared/cli";
import type { CloudConfig } from "#shared/config";
import { ConfigError, describeError, quote } from "#shared/errors";
import { backupNames, databaseFile, ownFiles, routerFile, telemetryFile } from "./contents.ts";
import { checkManifest, manifestName, badBackup, type Manifest } from "./manifest.ts";
import { refuseOperands } from "./places.ts";
import { finishSwap, stagedFolder, swapFiles } from "./swap.ts";
import { readArchive, type Sink } from "./tar.ts";

/** A manifest lists at most the files of `contents.ts`, a few kilobytes: a larger one is not ours. */
const mostManifestBytes = 1024 * 1024;

/** `cloudcore restore FILE`: replaces what is in the data directory by a backup. */
export const restoreOperation: Operation<CloudConfig> = {
  switches: ["force"],
  run: async (asked, config, host) => {
    refuseOperands(asked, 1);
    const [file] = asked.operands;
    if (file === undefined) throw new ConfigError("usage", "restore: expected the file name of a backup");
    using _lock = openDataDir(config.dataDir, "cloudcore", host.pid);
    if (finishSwap(config.dataDir)) host.out("finished an interrupted restore\n");
    restore(resolve(host.workingDir, file), { config, host, force: asked.flags.has("force") });
    return 0;
  },
};

interface RestoreOptions {
  readonly config: CloudConfig;
  readonly host: Host;
  readonly force: boolean;
}

/** Checks everything before it changes anything. */
function restore(file: string, { config, host, force }: RestoreOptions): void {
  const { dataDir } = config;
  const old = ownFiles(dataDir);
  if (old.length > 0 && !force)
    throw new ConfigError(
      "not-empty",
      `Cannot restore into ${quote(dataDir)}: it contains ${old.join(", ")}; --force moves them aside`,
    );
  const staged = join(dataDir, stagedFolder);
  try {
    const manifest = unpack(file, staged);
    prepare(file, { staged, manifest, config, host });
    const aside = `before-restore-${new Date(host.clock.nowMs()).toISOString().replaceAll(/[:.]/g, "-")}`;
    const fresh = backupNames.filter((name) => existsSync(join(staged, name)));
    // What a backup does not have, such as telemetry, stays in place.
    const absent = [routerFile, telemetryFile].filter((name) => !fresh.includes(name));
    const leaves = old.filter((name) => !absent.some((one) => name.startsWith(one)));
    swapFiles(dataDir, { aside, old: leaves, fresh });
    host.out(`restored ${manifest.files.length} files of ${manifest.createdAt}\n`);
    if (leaves.length > 0) host.out(`the previous data is in ${join(dataDir, aside)}\n`);
    host.out(
      "start cloudcore: nodes converge to the restored state, objects created after the backup are removed from them\n",
    );
  } finally {
    rmSync(staged, { recursive: true, force: true });
  }
}

interface Unpacked {
  readonly staged: string;
  readonly manifest: Manifest;
  readonly config: CloudConfig;
  readonly host: Host;
}

/** Checks the database, and renumbers it for nodes that have seen later revisions. */
function prepare(file: string, { staged, manifest, config, host }: Unpacked): void {
  const names = new Set(manifest.files.map(({ path }) => path));
  for (const name of [routerFile, telemetryFile]) if (names.has(name)) verifyDatabase(join(staged, name));
  if (!names.has(databaseFile)) return;
  const named = config.embedded?.encryptionKeyFile;
  const keyFile = named ?? join(staged, "secrets.key");
  const path = join(staged, databaseFile);
  try {
    verifyDatabase(path, keyFile);
    for (const { object } of repairDatabase(path, keyFile))
      host.out(`${object} was damaged when it was backed up\n`);
    const { objects } = renumberDatabase(path, keyFile);
    host.out(`${objects} objects, encrypted with the keys of ${named ?? "the backup"}\n`);
  } catch (error) {
    throw badBackup(file, describeError(error).replaceAll(`${staged}/`, ""));
  }
}

function unpack(file: string, staged: string): Manifest {
  const manifestText: Uint8Array[] = [];
  try {
    const entries = readArchive(file, (path, size) => {
      if (path === manifestName && size <= mostManifestBytes) return collect(manifestText);
      if (!backupNames.includes(path))
        throw new Error(`it contains ${quote(path)}, which is not a file of cloudcore`);
      return writeTo(join(staged, path));
    });
    const text = manifestText.length > 0 ? Buffer.concat(manifestText).toString("utf8") : undefined;
    return checkManifest(
      file,
      text,
      entries.filter(({ path }) => path !== manifestName),
    );
  } catch (error) {
    throw error instanceof ConfigError ? error : badBackup(file, describeError(error));
  }
}

function collect(chunks: Uint8Array[]): Sink & Disposable {
  return Object.assign((chunk: Uint8Array) => void chunks.push(chunk), { [Symbol.dispose]: () => undefined });
}

function writeTo(path: string): Sink & Disposable {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const target = openSync(path, "wx", 0o600);
  const sink = (chunk: Uint8Array): void => {
    for (let done = 0; done < chunk.length;) done += writeSync(target, chunk, done);
  };
  return Object.assign(sink, {
    [Symbol.dispose]: () => {
      fsyncSync(target);
      closeSync(target);
    },
  });
}
