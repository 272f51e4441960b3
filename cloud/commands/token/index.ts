import { readFileSync } from "node:fs";
import { join } from "node:path";
import { hashOfJwt, JoinTokens, newTokenId, type JoinToken } from "#cloud/cloud-hub/node-access";
import {
  formatTable,
  readChoice,
  readNodeName,
  readOutput,
  readText,
  readWhole,
  refuseMore,
  requireOperand,
  untilWords,
  withKube,
} from "#cloud/commands/framework";
import type { Asked, Host, Operation } from "#shared/cli";
import { rfc3339 } from "#shared/clock";
import type { CloudConfig } from "#shared/config";
import { ConfigError, errorCodeOf, quote, UnavailableError } from "#shared/errors";
import { asText, recordOf } from "#shared/json";
import { createToken, fingerprintOf, fromPem, splitToken } from "#shared/pki";

/** Characters: one line of `cloudcore token list` on a wide terminal. */
const longestDescription = 200;

/** `cloudcore token [create|list|revoke]`. */
export const tokenOperation: Operation<CloudConfig> = {
  flags: ["node", "hours", "uses", "description", "output"],
  run: async (asked, config, host) => {
    const choice = asked.operands.length === 0 ? "create" : readChoice(asked, ["create", "list", "revoke"]);
    switch (choice) {
      case "create":
        return create(asked, config, host);
      case "list":
        return list(asked, config, host);
      case "revoke":
        return revoke(asked, config, host);
    }
  },
};

async function create(asked: Asked, config: CloudConfig, host: Host): Promise<number> {
  refuseMore(asked, { operands: 1, flags: ["node", "hours", "uses", "description"] });
  const { node, ...limits } = readLimits(asked, config);
  const ca = readAuthority(config);
  const nowMs = host.clock.nowMs();
  const expiresMs = nowMs + limits.hours * 3_600_000;
  const id = newTokenId();
  const token = createToken(ca, expiresMs, id);
  const record: JoinToken = {
    id,
    hash: hashOfJwt(splitToken(token)?.jwt ?? ""),
    expires: rfc3339(expiresMs),
    uses: limits.uses,
    node,
    description: limits.description,
    created: rfc3339(nowMs),
    used: [],
  };
  await withKube(config, host, (kube) => new JoinTokens(kube).create(record));
  host.err(`join token ${id}: for ${allowedNodes(record)}, until ${record.expires}\n`);
  host.out(`${token}\n`);
  return 0;
}

function allowedNodes({ node, uses }: JoinToken): string {
  if (node !== undefined) return `node "${node}" (${uses} ${uses === 1 ? "use" : "uses"})`;
  return uses === 1 ? "one node" : `${uses} nodes`;
}

interface TokenLimits {
  readonly node: string | undefined;
  readonly hours: number;
  readonly uses: number;
  readonly description: string;
}

function readLimits(asked: Asked, { cloudHub }: CloudConfig): TokenLimits {
  const node = asked.flags.get("node");
  return {
    node: node === undefined ? undefined : readNodeName("--node", node),
    description: readText(asked, "description", longestDescription),
    hours: readWhole(asked, "hours", cloudHub.tokenHours, [1, 8760]),
    uses: readWhole(asked, "uses", 1, [1, 1000]),
  };
}

async function list(asked: Asked, config: CloudConfig, host: Host): Promise<number> {
  refuseMore(asked, { operands: 1, flags: ["output"] });
  const output = readOutput(asked);
  const found = await withKube(config, host, (kube) => new JoinTokens(kube).list());
  const nowMs = host.clock.nowMs();
  const tokens = found
    .toSorted((a, b) => a.created.localeCompare(b.created))
    .map(({ hash: _hash, ...token }) => ({ ...token, state: stateOf(token, nowMs) }));
  if (output === "json") host.out(`${JSON.stringify(tokens, undefined, 2)}\n`);
  else
    host.out(
      formatTable(
        ["ID", "STATE", "USED", "NODE", "EXPIRES", "JOINED", "DESCRIPTION"],
        tokens.map(({ id, state, used, uses, node, expires, description }) => [
          id,
          state,
          `${used.length}/${uses}`,
          node ?? "<any>",
          untilWords(expires, nowMs),
          used.map((use) => use.node).join(",") || "-",
          description,
        ]),
      ),
    );
  return 0;
}

function stateOf(
  { expires, used, uses }: Pick<JoinToken, "expires" | "used" | "uses">,
  nowMs: number,
): string {
  if (Date.parse(expires) <= nowMs) return "expired";
  return used.length < uses ? "valid" : "used up";
}

async function revoke(asked: Asked, config: CloudConfig, host: Host): Promise<number> {
  refuseMore(asked, { operands: 2, flags: [] });
  const given = requireOperand(asked, "the ID of a token (cloudcore token list)");
  const id = idOf(given);
  const found = await withKube(config, host, (kube) => new JoinTokens(kube).revoke(id));
  if (!found)
    throw new UnavailableError("no-token", `there is no join token ${quote(id)} (cloudcore token list)`);
  host.out(
    `join token ${id} revoked; nodes that joined with it stay (cloudcore node ban NAME refuses one)\n`,
  );
  return 0;
}

/** The ID of a token, given by itself or by the whole token. */
function idOf(given: string): string {
  const claims = splitToken(given)?.jwt.split(".")[1];
  if (claims === undefined) return given;
  try {
    return asText(recordOf(JSON.parse(Buffer.from(claims, "base64url").toString()))["jti"]) || given;
  } catch {
    return given;
  }
}

/** @throws ConfigError, UnavailableError when there is no CA to sign tokens with */
function readAuthority({ cloudHub, dataDir }: CloudConfig): { fingerprint: string; keyPem: string } {
  if (cloudHub.caFile !== undefined && cloudHub.caKeyFile === undefined)
    throw new ConfigError("no-ca-key", "Cannot make a join token: cloudhub.ca-key is not set");
  const certPem = readMaterial(cloudHub.caFile ?? join(dataDir, "ca/rootCA.crt"));
  const keyPem = readMaterial(cloudHub.caKeyFile ?? join(dataDir, "ca/rootCA.key"));
  const der = fromPem(certPem);
  if (!der) throw new ConfigError("bad-ca", "Cannot make a join token: the CA certificate is not PEM");
  return { fingerprint: fingerprintOf(der), keyPem };
}

function readMaterial(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    const code = errorCodeOf(cause) ?? String(cause);
    const hint = code === "ENOENT" ? "start cloudcore once, or name its --data-dir" : code;
    throw new UnavailableError("no-ca", `Cannot make a join token: cannot read ${quote(file)}: ${hint}`, {
      cause,
    });
  }
}
