import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Operation } from "#shared/cli";
import type { Clock } from "#shared/clock";
import type { CloudConfig } from "#shared/config";
import { ConfigError, quote, UnavailableError } from "#shared/errors";
import { createToken, fingerprintOf, fromPem } from "#shared/pki";

/** `cloudcore token`. */
export const tokenOperation: Operation<CloudConfig> = {
  run: async (asked, config, host) => {
    const [operand] = asked.operands;
    if (operand !== undefined)
      throw new ConfigError("usage", `token: expected nothing more, got ${quote(operand)}`);
    host.out(`${readJoinToken(config, host.clock)}\n`);
    return 0;
  },
};

/**
 * A join token for `cloudcore token`, made from the CA: valid from now on, whether cloudcore runs or not.
 * @throws UnavailableError when there is no CA yet
 */
export function readJoinToken(config: CloudConfig, clock: Clock): string {
  const { cloudHub, dataDir } = config;
  if (cloudHub.caFile !== undefined && cloudHub.caKeyFile === undefined)
    throw new ConfigError("no-ca-key", "Cannot make a join token: cloudhub.ca-key is not set");
  const certPem = readMaterial(cloudHub.caFile ?? join(dataDir, "ca/rootCA.crt"));
  const keyPem = readMaterial(cloudHub.caKeyFile ?? join(dataDir, "ca/rootCA.key"));
  const der = fromPem(certPem);
  if (!der) throw new ConfigError("bad-ca", "Cannot make a join token: the CA certificate is not PEM");
  const expiresMs = clock.nowMs() + cloudHub.tokenHours * 3_600_000;
  return createToken({ fingerprint: fingerprintOf(der), keyPem }, expiresMs);
}

function readMaterial(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    const code = (cause as { code?: string }).code ?? String(cause);
    const hint = code === "ENOENT" ? "start cloudcore once, or name its --data-dir" : code;
    throw new UnavailableError("no-ca", `Cannot make a join token: no ${quote(file)}: ${hint}`, { cause });
  }
}
