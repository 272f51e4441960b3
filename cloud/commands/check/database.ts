import { existsSync } from "node:fs";
import { join } from "node:path";
import { findDatabaseFault } from "#cloud/kube-api/store";
import { fail, ok, type Finding } from "#shared/cli";
import type { CloudConfig } from "#shared/config";

/** Whether the database of the embedded API can be read to its end, with the keys that are there. */
export function checkDatabase({ dataDir, embedded }: CloudConfig, inUse: boolean): Finding | undefined {
  if (!embedded) return undefined;
  const path = join(dataDir, "cloudcore.db");
  if (!existsSync(path)) return ok("database", `${path} will be created`);
  const fault = findDatabaseFault(path, embedded.encryptionKeyFile ?? join(dataDir, "secrets.key"), inUse);
  if (fault === undefined) return ok("database", path);
  const remedy =
    "restore a backup (`cloudcore restore FILE`), or run `cloudcore repair` if single objects are damaged";
  return fail("database", `${path}: ${fault}`, remedy);
}
