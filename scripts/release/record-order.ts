import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually, freePorts, run, startService } from "#internal/scripts/service.ts";
import { compile, hostTarget, programs, type ProgramName } from "./compile.ts";

/** For each program the file that tells the bundler which functions a start uses; disposing removes them. */
export interface Orders extends Disposable {
  of(program: ProgramName): string;
}

/** After the last line of a start, reports of the node go on for a while. */
const settleMs = 3000;
const limitMs = 30_000;

/**
 * Runs both programs of this source as on a node that joined before, with an engine that has no containers, and keeps what Bun
 * writes about it (https://bun.com/docs/bundler/executables#profile-guided-bytecode-layout). With these functions side by side in
 * an executable, a start touches half as much of it.
 * @throws Error when they do not start here
 */
export async function recordOrders(root: string): Promise<Orders> {
  const folder = mkdtempSync(join(tmpdir(), "kubeedge-order-"));
  using cleanUp = new DisposableStack();
  cleanUp.defer(() => rmSync(folder, { recursive: true, force: true }));
  for (const program of programs) await compile({ root, program, target: hostTarget(), folder });
  await using engine = await serveEmptyEngine(join(folder, "engine.sock"));
  await runBoth(folder, engine.socket);
  const owned = cleanUp.move();
  return { of: (program) => orderFile(folder, program), [Symbol.dispose]: () => owned.dispose() };
}

function orderFile(folder: string, program: ProgramName): string {
  return join(folder, `${program}.order`);
}

async function runBoth(folder: string, socket: string): Promise<void> {
  const configs = writeConfigs(folder, socket);
  const recorded = (program: ProgramName): string[] => [
    "env",
    `BUN_BYTECODE_ORDER_OUT=${orderFile(folder, program)}`,
    join(folder, program),
    "--config",
    configs[program],
  ];
  const cloudLog = join(folder, "cloudcore.log");
  await using cloud = startService("cloudcore", recorded("cloudcore"), cloudLog);
  await Promise.race([cloud.failed, logged(cloudLog, "running")]);
  const token = (await run([join(folder, "cloudcore"), "token", "--config", configs.cloudcore])).trim();
  {
    const log = join(folder, "joining.log");
    const words = [join(folder, "edgecore"), "--config", configs.edgecore, "--token", token];
    await using edge = startService("edgecore", words, log);
    await Promise.race([edge.failed, logged(log, "node registered")]);
  }
  const log = join(folder, "edgecore.log");
  await using edge = startService("edgecore", recorded("edgecore"), log);
  await Promise.race([edge.failed, logged(log, "node registered")]);
  await Bun.sleep(settleMs);
}

function writeConfigs(folder: string, socket: string): Record<ProgramName, string> {
  const [hub = 0, https = 0] = freePorts(2);
  const configs = { cloudcore: join(folder, "controller.yaml"), edgecore: join(folder, "edge.yaml") };
  mkdirSync(join(folder, "manifests"));
  writeFileSync(
    configs.cloudcore,
    `data-dir: ${join(folder, "cloud")}
cloudhub: { address: 127.0.0.1, port: ${hub}, https-port: ${https}, advertise: [127.0.0.1] }
cloudstream: { tunnel-port: 0 }
embedded: { port: 0 }
router: { port: 0 }
telemetry: { port: 0 }
`,
  );
  writeFileSync(
    configs.edgecore,
    `data-dir: ${join(folder, "edge")}
mqtt: { internal-server: "tcp://127.0.0.1:0" }
edgehub: { server: "127.0.0.1:${hub}", https: "https://127.0.0.1:${https}" }
edged:
  hostname-override: order
  docker-address: "unix://${socket}"
  static-pod-path: ${join(folder, "manifests")}
  read-only-port: 0
devicetwin: { query-port: 0, dmi-socket: ${join(folder, "dmi.sock")} }
meta-server: { port: 0, pod-address: "" }
service-bus: { port: 0 }
`,
  );
  return configs;
}

async function logged(file: string, message: string): Promise<void> {
  await eventually(limitMs, async () => {
    const text = await Bun.file(file).text();
    if (!text.includes(`"msg":"${message}"`)) throw new Error(`"${message}" is not in the log:\n${text}`);
  });
}

/** A Docker engine without containers and images: the build machine's own is left alone. */
async function serveEmptyEngine(socket: string): Promise<AsyncDisposable & { readonly socket: string }> {
  const server = createServer((request, response) => {
    const path = (request.url ?? "").replace(/^\/v[\d.]+/, "").replace(/\?.*/, "");
    response.setHeader("content-type", "application/json");
    // Events never end.
    if (path === "/events") response.flushHeaders();
    else if (path === "/info") response.end(JSON.stringify(engineInfo));
    else if (path.endsWith("/json")) response.end("[]");
    else response.end("{}");
  });
  const listening = Promise.withResolvers<void>();
  server.once("error", listening.reject).listen(socket, listening.resolve);
  await listening.promise;
  return {
    socket,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

const engineInfo = {
  ServerVersion: "20.10.24",
  DockerRootDir: "/",
  NCPU: 1,
  MemTotal: 1 << 30,
  SecurityOptions: [],
};
