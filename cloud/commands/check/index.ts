import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  checkAside,
  checkCertificate,
  checkDataDir,
  checkDisk,
  checkWrites,
  checkPort,
  checkPrivate,
  fail,
  lockFile,
  lockHolder,
  ok,
  readPorts,
  warn,
  type Finding,
} from "#shared/cli";
import type { Clock } from "#shared/clock";
import type { CloudConfig } from "#shared/config";
import { checkDatabase } from "./database.ts";
import { checkApi } from "./kube-api.ts";
import { cloudPrivatePlaces } from "./private-places.ts";

export { cloudPrivatePlaces } from "./private-places.ts";

/** Examines everything cloudcore needs, without changing anything. */
export async function* checkCloud(config: CloudConfig, clock: Clock): AsyncGenerator<Finding> {
  const { dataDir, cloudHub, embedded, telemetry, router } = config;
  const pid = lockHolder(lockFile(dataDir, "cloudcore"));
  const running = { pid, ports: readPorts(dataDir) };
  yield checkDataDir(dataDir, pid);
  yield* checkPrivate(cloudPrivatePlaces(config));
  const database = checkDatabase(config, pid !== undefined);
  if (database) yield database;
  for (const name of ["telemetry.db", "router.db"]) yield* checkAside(join(dataDir, name));
  yield checkDisk(dataDir);
  yield* checkWrites(pid);
  yield* checkCertificates(config, clock.nowMs());
  const hub = { address: cloudHub.address };
  yield await checkPort({ ...hub, name: "cloudhub", port: cloudHub.port, setting: "cloudhub.port" }, running);
  yield await checkPort(
    { ...hub, name: "cloudhub-https", port: cloudHub.httpsPort, setting: "cloudhub.https-port" },
    running,
  );
  if (embedded) yield await checkPort({ ...embedded, name: "embedded", setting: "embedded.port" }, running);
  if (router) yield await checkPort({ ...router, name: "router", setting: "router.port" }, running);
  const { http } = telemetry;
  if (http) yield await checkPort({ ...http, name: "telemetry", setting: "telemetry.port" }, running);
  yield await checkApi(config, running);
}

function* checkCertificates(config: CloudConfig, nowMs: number): Generator<Finding> {
  const { dataDir, cloudHub } = config;
  const caFile = cloudHub.caFile ?? join(dataDir, "ca/rootCA.crt");
  const certFile = cloudHub.certFile ?? join(dataDir, "certs/server.crt");
  if (cloudHub.caFile === undefined && !existsSync(caFile)) {
    yield ok("certificates", "none yet, created at the first start");
    return;
  }
  yield checkCertificate({
    subject: "CA certificate",
    file: caFile,
    nowMs,
    remedy: "set a valid cloudhub.ca and cloudhub.ca-key",
  });
  if (cloudHub.certFile === undefined && !existsSync(certFile)) {
    yield ok("server certificate", "none yet, issued at the next start");
    return;
  }
  yield checkCertificate({
    subject: "server certificate",
    file: certFile,
    caFile,
    hosts: cloudHub.advertise,
    nowMs,
    remedy:
      cloudHub.certFile === undefined
        ? "restart cloudcore: it issues a new one"
        : "issue a new cloudhub.cert",
  });
  const keyFile =
    cloudHub.caKeyFile ?? (cloudHub.caFile === undefined ? join(dataDir, "ca/rootCA.key") : undefined);
  if (keyFile === undefined)
    yield warn("CA key", "cloudhub.ca-key is not set: nodes cannot join with a token", "set cloudhub.ca-key");
  else if (!existsSync(keyFile)) yield fail("CA key", `${keyFile} is missing`, "restore it from a backup");
}
