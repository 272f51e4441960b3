import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { checkCertificate, fail, ok, warn, type Finding } from "#shared/cli";
import { readJoinToken, type EdgeConfig, type TokenSource } from "#shared/config";
import { recordOf } from "#shared/json";
import { readCertificate, splitToken } from "#shared/pki";

const prefix = "system:node:";
const rejoin = "start edgecore with a new token (`cloudcore token`)";

/** Certificates, or a token to get them with. */
export function* checkNodeIdentity(config: EdgeConfig, nowMs: number): Generator<Finding> {
  const { edgeHub, dataDir, nodeName } = config;
  const certFile = edgeHub.certFile ?? join(dataDir, "certs/edge.crt");
  const caFile = edgeHub.caFile ?? join(dataDir, "certs/rootCA.crt");
  if (edgeHub.certFile === undefined && !existsSync(certFile)) {
    yield checkToken(edgeHub, nowMs);
    return;
  }
  yield* checkNodeCertificate(config, { certFile, caFile }, nowMs);
  if (existsSync(caFile))
    yield checkCertificate({ subject: "CA certificate", file: caFile, nowMs, remedy: rejoin });
  else
    yield warn("CA certificate", `${caFile} is missing, cloudcore of ${nodeName} cannot be verified`, rejoin);
}

/** A certificate of another node is replaced at the start when there is a token, else the cloud refuses it for ever. */
function* checkNodeCertificate(
  { edgeHub, nodeName }: EdgeConfig,
  { certFile, caFile }: { readonly certFile: string; readonly caFile: string },
  nowMs: number,
): Generator<Finding> {
  const subject = "node certificate";
  const found = checkCertificate({
    subject,
    file: certFile,
    ...(existsSync(caFile) && { caFile }),
    nowMs,
    remedy: `remove ${certFile} and ${rejoin}`,
  });
  const other = found.state === "fail" ? undefined : otherNode(certFile, nodeName);
  if (other === undefined) {
    yield found;
    return;
  }
  const evidence = `${certFile} is of node "${other}", this one is "${nodeName}"`;
  const fixed = edgeHub.certFile !== undefined;
  const token = fixed || !readJoinToken(edgeHub) ? undefined : checkToken(edgeHub, nowMs);
  const rename = `or give the old name back: edged.hostname-override: ${other}`;
  if (token) yield token;
  if (token?.state === "ok") yield ok(subject, `${evidence}: the token gets a new one`);
  else if (fixed)
    yield fail(subject, evidence, `name files of "${nodeName}" in edgehub.websocket, ${rename}`);
  else yield fail(subject, evidence, `${rejoin} to join again, ${rename}`);
}

/** The node that a certificate is of, when it is not this one. */
function otherNode(certFile: string, nodeName: string): string | undefined {
  const { commonName } = readCertificate(readFileSync(certFile, "utf8"));
  if (!commonName.startsWith(prefix)) return undefined;
  const name = commonName.slice(prefix.length);
  return name === nodeName ? undefined : name;
}

function checkToken(source: TokenSource, nowMs: number): Finding {
  const remedy = "print one with `cloudcore token` and give it with --token-file or edgehub.token";
  const given = readJoinToken(source);
  if (!given) return fail("join token", "neither a certificate nor a token", remedy);
  if ("fault" in given) return fail("join token", given.fault, remedy);
  const { token } = given;
  const parts = splitToken(token);
  if (!parts) return fail("join token", "it is not a join token", remedy);
  const expiresMs = expiryOf(parts.jwt);
  if (expiresMs === undefined) return fail("join token", "its expiry cannot be read", remedy);
  const until = new Date(expiresMs).toISOString();
  return nowMs < expiresMs
    ? ok("join token", `for the CA ${parts.fingerprint.slice(0, 12)}…, until ${until}`)
    : fail("join token", `it expired at ${until}`, remedy);
}

function expiryOf(jwt: string): number | undefined {
  try {
    const claims = Buffer.from(jwt.split(".")[1] ?? "", "base64url").toString();
    const expiry = recordOf(JSON.parse(claims))["exp"];
    return typeof expiry === "number" ? expiry * 1000 : undefined;
  } catch {
    return undefined;
  }
}
