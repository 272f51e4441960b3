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
import { ConfigError, quote, UnavailableError } from "#shared/errors";
import { createToken, fingerprintOf, fromPem, splitToken } from "#shared/pki";

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
  const { node, ...wanted } = readWanted(asked, config);
  const ca = readAuthority(config);
  const nowMs = host.clock.nowMs();
  const expiresMs = nowMs + wanted.hours * 3_600_000;
  const id = newTokenId();
  const token = createToken(ca, expiresMs, id);
  const record: JoinToken = {
    id,
    hash: hashOfJwt(splitToken(token)?.jwt ?? ""),
    expires: rfc3339(expiresMs),
    uses: wanted.uses,
    node,
    description: wanted.description,
    created: rfc3339(nowMs),
    used: [],
  };
  await withKube(config, host, (kube) => new JoinTokens(kube).create(record));
  const times = record.uses === 1 ? "one node" : `${record.uses} nodes`;
  const who =
    node === undefined ? times : `node "${node}" (${record.uses} ${record.uses === 1 ? "use" : "uses"})`;
  host.err(`join token ${id}: for ${who}, until ${record.expires}\n`);
  host.out(`${token}\n`);
  return 0;
}

interface Wanted {
  readonly node: string | undefined;
  readonly hours: number;
  readonly uses: number;
  readonly description: string;
}

function readWanted(asked: Asked, { cloudHub }: CloudConfig): Wanted {
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
  host.out(`join token ${id} revoked; what it was used for stays (cloudcore node ban NAME stops a node)\n`);
  return 0;
}

/** Whoever has only the token itself may give that. */
function idOf(given: string): string {
  const claims = splitToken(given)?.jwt.split(".")[1];
  if (claims === undefined) return given;
  try {
    const { jti } = JSON.parse(Buffer.from(claims, "base64url").toString()) as { jti?: unknown };
    return typeof jti === "string" ? jti : given;
  } catch {
    return given;
  }
}

/** @throws ConfigError, UnavailableError when there is no CA to make tokens with */
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
    const code = (cause as { code?: string }).code ?? String(cause);
    const hint = code === "ENOENT" ? "start cloudcore once, or name its --data-dir" : code;
    throw new UnavailableError("no-ca", `Cannot make a join token: no ${quote(file)}: ${hint}`, { cause });
  }
}
