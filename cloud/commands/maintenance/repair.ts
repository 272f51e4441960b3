import { existsSync } from "node:fs";
import { repairDatabase } from "#cloud/kube-api/store";
import type { Operation } from "#shared/cli";
import type { CloudConfig } from "#shared/config";
import { ConfigError, quote } from "#shared/errors";
import { databaseOf, refuseOperands, refuseRunning } from "./places.ts";

/** `cloudcore repair`: makes a database with damaged objects usable when there is no backup of it. */
export const repairOperation: Operation<CloudConfig> = {
  run: async (asked, config, host) => {
    refuseOperands(asked, 0);
    refuseRunning("repair", config);
    const { path, keyFile } = databaseOf(config);
    if (!existsSync(path)) throw new ConfigError("no-database", `Cannot repair: there is no ${quote(path)}`);
    const repairs = repairDatabase(path, keyFile);
    if (repairs.length === 0) host.out("nothing to repair: every object is readable\n");
    for (const { object, restored, current } of repairs) {
      const done = restored === undefined ? "removed" : `restored from revision ${restored}`;
      host.out(`${object}: ${current ? done : "an earlier revision was removed"}\n`);
    }
    return 0;
  },
};
