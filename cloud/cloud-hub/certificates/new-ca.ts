import { existsSync } from "node:fs";
import { join } from "node:path";
import { lockFile, lockHolder, type Operation } from "#shared/cli";
import type { CloudConfig } from "#shared/config";
import { ConfigError, quote } from "#shared/errors";
import { caFilesIn, clientCaFilesIn, clientCaName, replaceAuthority } from "./authority.ts";

/** `cloudcore new-ca`: another CA in place of one that is lost or damaged and in no backup. */
export const newCaOperation: Operation<CloudConfig> = {
  run: async (asked, { cloudHub, embedded, dataDir }, host) => {
    const [operand] = asked.operands;
    if (operand !== undefined)
      throw new ConfigError("usage", `new-ca: expected nothing more, got ${quote(operand)}`);
    const pid = lockHolder(lockFile(dataDir, "cloudcore"));
    if (pid !== undefined)
      throw new ConfigError(
        "running",
        `Cannot create a CA: process ${pid} uses the data directory; stop it first`,
      );
    const homes = [
      ...(cloudHub.caFile === undefined ? [dataDir] : []),
      ...(embedded ? [join(dataDir, "embedded")] : []),
    ];
    const nowMs = host.clock.nowMs();
    const made: string[] = [];
    for (const home of homes) {
      const files = caFilesIn(home);
      if (await replaceAuthority(files, { nowMs })) made.push(files.certPath);
    }
    const clients = clientCaFilesIn(join(dataDir, "embedded"));
    const hasClients = embedded !== undefined && existsSync(clients.certPath);
    if (hasClients && (await replaceAuthority(clients, { nowMs, commonName: clientCaName })))
      made.push(clients.certPath);
    if (made.length === 0)
      throw new ConfigError(
        "ca-exists",
        `Cannot create a CA: an intact one exists already in ${homes.map(quote).join(" and ")}`,
      );
    for (const path of made) host.out(`created CA ${path}\n`);
    host.out("nodes have to join again with a new token, and copies of the kubeconfig have to be replaced\n");
    return 0;
  },
};
