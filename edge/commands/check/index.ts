import { existsSync } from "node:fs";
import { dirname } from "node:path";
import {
  checkAside,
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
  type Finding,
} from "#shared/cli";
import type { Clock } from "#shared/clock";
import type { EdgeConfig } from "#shared/config";
import { findEdgeDatabaseFault, findHeldCloud } from "#edge/store";
import { checkBrokers } from "./brokers.ts";
import { checkCloudLink } from "./cloud.ts";
import { checkEngine } from "./engine.ts";
import { checkImages } from "./images.ts";
import { checkNodeIdentity } from "./identity.ts";
import { queryPorts, servicePorts, nodeApiPorts } from "./ports.ts";
import { edgePrivatePlaces } from "./private-places.ts";

export { refuseUnusablePorts } from "./ports.ts";
export { edgePrivatePlaces } from "./private-places.ts";
export { refuseReload, refuseUnusableFiles } from "./tls-files.ts";

/** Checks everything edgecore needs, changing nothing. */
export async function* checkEdge(config: EdgeConfig, clock: Clock): AsyncGenerator<Finding> {
  const { dataDir, edged } = config;
  const pid = lockHolder(lockFile(dataDir, "edgecore"));
  const running = { pid, ports: readPorts(dataDir) };
  yield ok("node name", config.nodeName);
  const directory = checkDataDir(dataDir, pid);
  yield directory;
  yield* checkPrivate(edgePrivatePlaces(config));
  if (directory.state === "ok" && existsSync(dataDir)) yield* checkStore(config, pid !== undefined);
  yield checkDisk(dataDir);
  yield* checkWrites(pid);
  yield* checkNodeIdentity(config, clock.nowMs());
  yield* checkCloudLink(config, clock);
  yield* checkEngine(edged.runtimeEndpoint, { dataDir, clock, processes: edged.processes !== undefined });
  yield* checkImages(config);
  yield* checkBrokers(config, running, clock.nowMs());
  for (const port of [...queryPorts(config.deviceTwin), ...servicePorts(config), ...nodeApiPorts(config)])
    yield await checkPort(port, running);
}

function* checkStore({ databasePath, nodeName }: EdgeConfig, inUse: boolean): Generator<Finding> {
  yield checkDatabase(databasePath, inUse);
  yield* checkAside(databasePath);
  const held = findHeldCloud(databasePath, inUse);
  if (!held) return;
  const since = new Date(held.sinceMs).toISOString();
  const evidence = `it is ${held.found}, but this node belongs to ${held.known}: changes from the cloud are rejected since ${since}`;
  yield fail(
    "cloud database",
    evidence,
    `restore the database of the cloud, or accept this one with \`edgecore adopt\` or \`cloudcore adopt ${nodeName}\``,
  );
}

function checkDatabase(path: string, inUse: boolean): Finding {
  const subject = "database";
  if (!existsSync(dirname(path)))
    return fail(subject, `${dirname(path)} does not exist`, "make it, or set database.path elsewhere");
  const fault = findEdgeDatabaseFault(path, inUse);
  if (fault) return fail(subject, `${path}: ${fault.problem}`, fault.remedy);
  return ok(subject, existsSync(path) ? path : `${path} will be made`);
}
