import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually, freePorts, run, startService, type Service } from "./service.ts";

/** cloudcore and one edgecore on this machine, from dist/, with own ports and data. */
export interface Cluster extends AsyncDisposable {
  readonly folder: string;
  readonly kubeconfig: string;
  readonly cloud: Service;
  readonly edge: Service;
  readonly mqttPort: number;
  kubectl(...words: readonly string[]): Promise<string>;
}

export interface ClusterOptions {
  readonly root: string;
  /** Where everything is kept. */
  readonly folder: string;
  readonly socket: string;
  readonly node: string;
}

/** Starts both and returns when the node is Ready. */
export async function startCluster({ root, folder, socket, node }: ClusterOptions): Promise<Cluster> {
  await using stack = new AsyncDisposableStack();
  const [cloudDir, edgeDir] = [join(folder, "cloud"), join(folder, "edge")];
  for (const dir of [cloudDir, edgeDir]) mkdirSync(dir, { recursive: true });
  const [hub = 0, https = 0, api = 0, mqtt = 0, edged = 0] = freePorts(5);
  const cloudConfig = join(folder, "controller.yaml");
  writeFileSync(
    cloudConfig,
    `data-dir: ${cloudDir}
cloudhub: { address: 127.0.0.1, port: ${hub}, https-port: ${https}, advertise: [127.0.0.1] }
embedded: { port: ${api} }
`,
  );
  const edgeConfig = join(folder, "edge.yaml");
  writeFileSync(
    edgeConfig,
    `data-dir: ${edgeDir}
mqtt: { internal-server: "tcp://127.0.0.1:${mqtt}" }
edgehub: { server: "127.0.0.1:${hub}", https: "https://127.0.0.1:${https}" }
edged: { hostname-override: ${node}, docker-address: "unix://${socket}", read-only-port: ${edged} }
`,
  );
  const [cloudcore, edgecore] = [join(root, "dist/cloudcore"), join(root, "dist/edgecore")];
  const kubeconfig = join(cloudDir, "kubeconfig");
  const kubectl = (...words: readonly string[]): Promise<string> =>
    run(["kubectl", "--kubeconfig", kubeconfig, ...words]);

  const cloud = stack.use(
    startService("cloudcore", [cloudcore, "--config", cloudConfig], join(folder, "cloudcore.log")),
  );
  await orFailure(
    cloud,
    eventually(30_000, () => kubectl("get", "namespaces")),
  );
  const token = (await run([cloudcore, "token", "--config", cloudConfig])).trim();
  const words = [edgecore, "--config", edgeConfig, "--token", token];
  const edge = stack.use(startService("edgecore", words, join(folder, "edgecore.log")));
  await orFailure(
    edge,
    eventually(30_000, () => kubectl("wait", "--for=condition=Ready", `node/${node}`, "--timeout=10s")),
  );
  const owned = stack.move();
  return {
    folder,
    kubeconfig,
    cloud,
    edge,
    mqttPort: mqtt,
    kubectl,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function orFailure<T>(service: Service, work: Promise<T>): Promise<T> {
  return Promise.race([service.failed, work]);
}
