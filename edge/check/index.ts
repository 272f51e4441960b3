import {
  checkDataDir,
  checkDisk,
  checkPort,
  lockFile,
  lockHolder,
  ok,
  readPorts,
  type Finding,
} from "#shared/cli";
import type { Clock } from "#shared/clock";
import type { EdgeConfig } from "#shared/config";
import { checkBrokers } from "./brokers.ts";
import { checkCloud } from "./cloud.ts";
import { checkEngine } from "./engine.ts";
import { checkIdentity } from "./identity.ts";

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
}
