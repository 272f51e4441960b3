import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  checkCertificate,
  checkDataDir,
  checkDisk,
  checkPort,
  fail,
  lockFile,
  lockHolder,
  ok,
  readPorts,
  warn,
  type Finding,
} from "#shared/cli";
import type { Clock } from "#shared/clock";
import type { EdgeConfig } from "#shared/config";
import { splitToken } from "#shared/pki";
import { checkBrokers } from "./brokers.ts";
import { checkCloud } from "./cloud.ts";
import { checkEngine } from "./engine.ts";

export { refuseUnusableFiles } from "./tls-files.ts";

/** Looks at everything edgecore needs, changing nothing. */
export async function* checkEdge(config: EdgeConfig, clock: Clock): AsyncGenerator<Finding> {
  const { dataDir, edged } = config;
  const pid = lockHolder(lockFile(dataDir, "edgecore"));
  const running = { pid, ports: readPorts(dataDir) };
  yield ok("node name", config.nodeName);
  yield checkDataDir(dataDir, pid);
  yield checkDisk(dataDir);
  yield* checkIdentity(config, clock.nowMs());
  yield* checkCloud(config, clock);
  yield await checkEngine(edged.dockerAddress);
  yield* checkBrokers(config, running, clock.nowMs());
  const { query } = config.deviceTwin;
  if (query) yield await checkPort({ ...query, name: "devices", setting: "devicetwin.query-port" }, running);
  const readOnly = {
    name: "edged",
    address: "127.0.0.1",
    port: edged.readOnlyPort,
    setting: "edged.read-only-port",
  };
  yield await checkPort(readOnly, running);
}

/** Certificates, or a token to get them with. */
function* checkIdentity(config: EdgeConfig, nowMs: number): Generator<Finding> {
  const { edgeHub, dataDir, nodeName } = config;
  const certFile = edgeHub.certFile ?? join(dataDir, "certs/edge.crt");
  const caFile = edgeHub.caFile ?? join(dataDir, "certs/rootCA.crt");
  if (edgeHub.certFile === undefined && !existsSync(certFile)) {
    yield checkToken(edgeHub.token, nowMs);
    return;
  }
  const mend = "start edgecore with a new token (`cloudcore token`)";
  yield checkCertificate({
    subject: "node certificate",
    file: certFile,
    ...(existsSync(caFile) && { caFile }),
    nowMs,
    mend: `remove ${certFile} and ${mend}`,
  });
  if (existsSync(caFile)) yield checkCertificate({ subject: "CA certificate", file: caFile, nowMs, mend });
  else
    yield warn("CA certificate", `${caFile} is missing, cloudcore of ${nodeName} cannot be verified`, mend);
}

function checkToken(token: string | undefined, nowMs: number): Finding {
  const mend = "print one with `cloudcore token` and give it with --token or edgehub.token";
  if (token === undefined) return fail("join token", "neither a certificate nor a token", mend);
  const parts = splitToken(token);
  if (!parts) return fail("join token", "it has not the form of a join token", mend);
  const expiresMs = expiryOf(parts.jwt);
  if (expiresMs === undefined) return fail("join token", "its expiry cannot be read", mend);
  const until = new Date(expiresMs).toISOString();
  return nowMs < expiresMs
    ? ok("join token", `for the CA ${parts.fingerprint.slice(0, 12)}…, until ${until}`)
    : fail("join token", `it ended at ${until}`, mend);
}

function expiryOf(jwt: string): number | undefined {
  try {
    const claims = JSON.parse(Buffer.from(jwt.split(".")[1] ?? "", "base64url").toString()) as {
      exp?: unknown;
    };
    return typeof claims.exp === "number" ? claims.exp * 1000 : undefined;
  } catch {
    return undefined;
  }
}
