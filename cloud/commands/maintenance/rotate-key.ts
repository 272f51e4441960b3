import { addKey, pruneKeys, readKeyRing, sealedWith } from "#cloud/kube-api/store";
import type { Operation } from "#shared/cli";
import type { CloudConfig } from "#shared/config";
import { ConfigError, quote } from "#shared/errors";
import { databaseOf, refuseOperands } from "./places.ts";

/** `cloudcore rotate-key`: adds a key for Secrets, with which the next start encrypts them all. */
export const rotateKeyOperation: Operation<CloudConfig> = {
  switches: ["prune"],
  run: async (asked, config, host) => {
    refuseOperands(asked, 0);
    const { path, keyFile } = databaseOf(config);
    const current = readKeyRing(keyFile)?.current;
    if (current === undefined)
      throw new ConfigError(
        "no-key",
        `Cannot rotate the key: there is no ${quote(keyFile)}; start cloudcore once`,
      );
    const inUse = sealedWith(path);
    if (!asked.flags.has("prune")) {
      host.out(`added key ${addKey(keyFile)} to ${keyFile}\n`);
      host.out(
        "restart cloudcore to encrypt Secrets with it; then `cloudcore rotate-key --prune` removes the old keys\n",
      );
      return 0;
    }
    if (inUse !== current)
      throw new ConfigError(
        "key-in-use",
        `Cannot remove old keys: ${quote(path)} is not encrypted with key ${current} yet; restart cloudcore first`,
      );
    const removed = pruneKeys(keyFile);
    host.out(
      removed.length === 0 ? "nothing to remove: there is only one key\n" : `removed ${removed.join(", ")}\n`,
    );
    return 0;
  },
};
