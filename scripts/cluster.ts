import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually, freePorts, run, startService, type ServiceProcess } from "./service.ts";

/** cloudcore alone, from dist/, with own ports and data. */
export interface Cloud extends AsyncDisposable {
  readonly folder: string;
  readonly kubeconfig: string;
  readonly cloud: ServiceProcess;
  kubectl(...words: readonly string[]): Promise<string>;
  /** The words that start an edgecore of that name which joins it. */
  edgeWords(node: string, socket: string): Promise<string[]>;
}

/** The same with one edgecore. */
export interface Cluster extends Cloud {
  readonly edge: ServiceProcess;
}

export interface CloudOptions {
  readonly root: string;
  /** Where everything is kept. */
  readonly folder: string;
  /** Further lines of controller.yaml. */
  readonly settings?: string;
}

/** Starts cloudcore and returns when its API answers. */
export async function startCloud({ root, folder, settings = "" }: CloudOptions): Promise<Cloud> {
  await using stack = new AsyncDisposableStack();
  const dataDir = join(folder, "cloud");
  mkdirSync(dataDir, { recursive: true });
  const [hub = 0, https = 0, api = 0] = freePorts(3);
  const config = join(folder, "controller.yaml");
  writeFileSync(
    config,
    `data-dir: ${dataDir}
cloudhub: { address: 127.0.0.1, port: ${hub}, https-port: ${https}, advertise: [127.0.0.1] }
embedded: { port: ${api} }
telemetry: { port: 0 }
router: { port: 0 }
cloudstream: { tunnel-port: 0 }
${settings}`,
  );
  const cloudcore = join(root, "dist/cloudcore");
  const kubeconfig = join(dataDir, "kubeconfig");
  const kubectl = (...words: readonly string[]): Promise<string> =>
    run(["kubectl", "--kubeconfig", kubeconfig, ...words]);
  const log = join(folder, "cloudcore.log");
  const cloud = stack.use(startService("cloudcore", [cloudcore, "--config", config], log));
  await orFailure(
    cloud,
    eventually(30_000, () => kubectl("get", "namespace", "default")),
  );
  const owned = stack.move();
  return {
    folder,
    kubeconfig,
    cloud,
    kubectl,
    edgeWords: async (node, socket) => {
      const token = (await run([cloudcore, "token", "--config", config])).trim();
      const file = writeEdgeConfig({ folder, node, socket, hub, https });
      return [join(root, "dist/edgecore"), "--config", file, "--token", token];
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function writeEdgeConfig(edge: {
  readonly folder: string;
  readonly node: string;
  readonly socket: string;
  readonly hub: number;
  readonly https: number;
}): string {
  const { folder, node, socket, hub, https } = edge;
  const [mqtt = 0] = freePorts(1);
  const file = join(folder, `${node}.yaml`);
  writeFileSync(
    file,
    `data-dir: ${join(folder, node)}
mqtt: { internal-server: "tcp://127.0.0.1:${mqtt}" }
edgehub: { server: "127.0.0.1:${hub}", https: "https://127.0.0.1:${https}" }
edged: { hostname-override: ${node}, docker-address: "unix://${socket}", image-gc-high-threshold: 100 }
devicetwin: { query-port: 0, dmi-socket: "" }
meta-server: { port: 0 }
service-bus: { port: 0 }
`,
  );
  return file;
}

/** Starts both and returns when the node is Ready. */
export async function startCluster(
  options: CloudOptions & { readonly socket: string; readonly node: string },
): Promise<Cluster> {
  const { node, socket } = options;
  await using stack = new AsyncDisposableStack();
  const cloud = stack.use(await startCloud(options));
  const words = await cloud.edgeWords(node, socket);
  const edge = stack.use(startService("edgecore", words, join(options.folder, "edgecore.log")));
  await orFailure(edge, waitReady(cloud, node, 30_000));
  const owned = stack.move();
  return { ...cloud, edge, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

export async function waitReady({ kubectl }: Cloud, node: string, limitMs: number): Promise<void> {
  await eventually(limitMs, () => kubectl("wait", "--for=condition=Ready", `node/${node}`, "--timeout=10s"));
}

async function orFailure<T>(service: ServiceProcess, work: Promise<T>): Promise<T> {
  return Promise.race([service.failed, work]);
}
