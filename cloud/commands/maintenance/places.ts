import { join } from "node:path";
import { lockFile, lockHolder, type Asked } from "#shared/cli";
import type { CloudConfig } from "#shared/config";
import { ConfigError, quote } from "#shared/errors";

/** The paths of cloudcore's database and of the keys that encrypt it. @throws ConfigError when it has none */
export function databaseOf({ dataDir, embedded }: CloudConfig): {
  readonly path: string;
  readonly keyFile: string;
} {
  if (!embedded)
    throw new ConfigError(
      "no-database",
      "This cloudcore has no database: it works on the API server of controller.kube",
    );
  return {
    path: join(dataDir, "cloudcore.db"),
    keyFile: embedded.encryptionKeyFile ?? join(dataDir, "secrets.key"),
  };
}

/** @throws ConfigError when a cloudcore runs on the data, with its process id */
export function refuseRunning(what: string, { dataDir }: CloudConfig): void {
  const pid = lockHolder(lockFile(dataDir, "cloudcore"));
  if (pid !== undefined)
    throw new ConfigError("running", `Cannot ${what}: cloudcore runs as process ${pid}; stop it first`);
}

/** @throws ConfigError when there are more than `most` operands */
export function refuseOperands({ command, operands }: Asked, most: number): void {
  const extra = operands[most];
  if (extra !== undefined)
    throw new ConfigError("usage", `${command}: expected nothing more, got ${quote(extra)}`);
}
