import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { checkTcp, fail, ok, warn, type Finding } from "#shared/cli";
import type { Clock } from "#shared/clock";
import { readJoinToken, type EdgeConfig } from "#shared/config";
import { describeError } from "#shared/errors";
import { fingerprintOf, fromPem, splitToken } from "#shared/pki";

/** An operator is waiting, and a cloud that needs longer is a finding. */
const timeoutMs = 5000;
/** TLS tolerates an hour, but times of Events and of history would mislead. */
const skewWarnMs = 60_000;
/** A message of cloudcore fits; a page of a proxy is cut. */
const mostAnswerLength = 600;
const remedy = "check edgehub.server, the network and that cloudcore runs";

/** Whether cloudcore can be reached, has the CA of the token, and its clock agrees with ours. */
export async function* checkCloudLink(config: EdgeConfig, clock: Clock): AsyncGenerator<Finding> {
  const { edgeHub } = config;
  const link = new URL(edgeHub.url);
  const why = await checkTcp(bare(link.hostname), Number(link.port || 443), timeoutMs);
  yield why === undefined
    ? ok("cloud link", `${link.host} accepts connections`)
    : fail("cloud link", `${link.host}: ${why}`, remedy);
  if (why === undefined) yield* checkAdmission(config);
  yield* checkEnrollment(edgeHub, clock);
}

/** Whether the cloud accepts this node; a handshake would replace the connection of the edgecore that runs. */
async function* checkAdmission({ edgeHub, dataDir, nodeName }: EdgeConfig): AsyncGenerator<Finding> {
  const folder = join(dataDir, "certs");
  const files = {
    cert: edgeHub.certFile ?? join(folder, "edge.crt"),
    key: edgeHub.keyFile ?? join(folder, "edge.key"),
    ca: edgeHub.caFile ?? join(folder, "rootCA.crt"),
  };
  if (!Object.values(files).every((file) => existsSync(file))) return;
  const subject = "admission";
  try {
    const tls = Object.fromEntries(
      Object.entries(files).map(([part, file]) => [part, readFileSync(file, "utf8")]),
    );
    const response = await fetch(edgeHub.url.replace(/^wss:/, "https:"), {
      tls,
      headers: { node_id: nodeName },
      signal: AbortSignal.timeout(timeoutMs),
    });
    const answer = (await response.text())
      .replaceAll(/[\p{C}\s]+/gu, " ")
      .trim()
      .slice(0, mostAnswerLength);
    if (response.status === 426) yield ok(subject, `cloudcore accepts node "${nodeName}"`);
    // KubeEdge's answers 400 to everything but a handshake.
    if (response.status === 401 || response.status === 403)
      yield fail(subject, answer, "follow the message of cloudcore, or join again with a new token");
  } catch (error) {
    yield fail(subject, `${edgeHub.url}: ${describeError(error)}`, remedy);
  }
}

async function* checkEnrollment(hub: EdgeConfig["edgeHub"], clock: Clock): AsyncGenerator<Finding> {
  try {
    const before = clock.nowMs();
    const response = await fetch(`${hub.httpsUrl}/ca.crt`, {
      tls: { rejectUnauthorized: false },
      signal: AbortSignal.timeout(timeoutMs),
    });
    const body = new Uint8Array(await response.arrayBuffer());
    yield response.ok
      ? judgePin(hub, body)
      : fail("enrollment", `${hub.httpsUrl}/ca.crt answers ${response.status}`, remedy);
    const theirs = Date.parse(response.headers.get("date") ?? "");
    if (!Number.isNaN(theirs)) yield judgeSkew(theirs - before);
  } catch (error) {
    yield fail("enrollment", `${hub.httpsUrl}: ${describeError(error)}`, remedy);
  }
}

function judgePin(hub: EdgeConfig["edgeHub"], ca: Uint8Array): Finding {
  const given = readJoinToken(hub);
  const pin = given && "token" in given ? splitToken(given.token)?.fingerprint : undefined;
  const der = fromPem(new TextDecoder().decode(ca)) ?? ca;
  if (pin === undefined || pin === fingerprintOf(der)) return ok("enrollment", `${hub.httpsUrl} answers`);
  return fail("enrollment", `${hub.httpsUrl} has another CA than the token`, "use a token of this cloudcore");
}

function judgeSkew(skewMs: number): Finding {
  const seconds = Math.round(skewMs / 1000);
  return Math.abs(skewMs) < skewWarnMs
    ? ok("clock", `within ${Math.abs(seconds) + 1} s of the cloud's`)
    : warn(
        "clock",
        `${Math.abs(seconds)} s ${seconds > 0 ? "behind" : "ahead of"} the cloud's`,
        "set the clock",
      );
}

function bare(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, "$1");
}
