import { existsSync } from "node:fs";
import type { Operation } from "#shared/cli";
import type { EdgeConfig } from "#shared/config";
import { ConfigError, quote } from "#shared/errors";
import { openStore } from "#edge/store";

/**
 * `edgecore adopt`: the cloud whose database this node does not know is accepted from now on. It works beside a running
 * edgecore, which looks for it every few seconds, and before the next start.
 */
export const adoptCloudOperation: Operation<EdgeConfig> = {
  run: async (asked, config, host) => {
    const [operand] = asked.operands;
    if (operand !== undefined)
      throw new ConfigError("usage", `adopt: expected nothing more, got ${quote(operand)}`);
    const path = config.databasePath;
    if (!existsSync(path))
      throw new ConfigError(
        "no-database",
        `Cannot adopt a cloud: ${quote(path)} is not there; set --config or --data-dir`,
      );
    using store = openStore(path);
    const adopted = store.cloud.adopt();
    host.out(
      adopted === undefined
        ? "nothing to adopt: this node accepts its cloud\n"
        : `adopted the cloud with database ${adopted}\n`,
    );
    return 0;
  },
};
