import { Database } from "bun:sqlite";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { demoImage, makeDemoImage } from "#internal/scripts/engine.ts";
import { eventually, run, startService, tailOf, type ServiceProcess } from "#internal/scripts/service.ts";
import {
  docker,
  engineSocket,
  hasEngine,
  removeContainers,
} from "#internal/test/support/machine/container-engine.ts";
import { startCutProxy, type CutProxy } from "#internal/test/support/machine/cut-proxy.ts";
import { processRuntime, removeCgroups } from "#internal/test/support/machine/processes.ts";
import { needsCommands } from "./needs.ts";
import { tempDir } from "./temp-dir.ts";

const root = resolve(import.meta.dir, "../..");

/** Whether cloudcore, edgecore and kubectl can run here as processes. */
export function hasPair(): boolean {
  return needsCommands("kubectl") && hasEngine();
}

function program(name: "cloud" | "edge"): string[] {
  if (process.env["KUBEEDGE_DIST"] === "1") return [join(root, `dist/${name}core`)];
  return [process.execPath, join(root, name, "main.ts")];
}

interface PairParts {
  readonly folder: string;
  readonly node: string;
  /** Lies between both on the link; enrollment goes around it. */
  readonly link: CutProxy;
  readonly ports: Readonly<Record<string, number>>;
  readonly cloud: ServiceProcess;
  readonly endpoint: string | undefined;
  readonly programs: readonly string[] | undefined;
}

export interface PairOptions {
  /** The node has no engine, and runs these programs of the machine. */
  readonly programs?: readonly string[] | undefined;
  /** Of an engine that the test has started, and removes; Docker's by default. */
  readonly endpoint?: string | undefined;
}

/** cloudcore and edgecore as processes of their own, with own data, node and containers, and a link that can be cut. */
export class Pair implements AsyncDisposable {
  readonly node: string;
  readonly link: CutProxy;
  readonly #folder: string;
  readonly #ports: Readonly<Record<string, number>>;
  #cloud: ServiceProcess | undefined;
  #edge: ServiceProcess | undefined;
  #lives = 0;
  #edgeFolder = "edge";
  readonly #ownersBefore: string[] = [];
  readonly #endpoint: string | undefined;
  readonly #programs: readonly string[] | undefined;

  constructor({ folder, node, link, ports, cloud, endpoint, programs }: PairParts) {
    this.#programs = programs;
    this.#folder = folder;
    this.node = node;
    this.link = link;
    this.#ports = ports;
    this.#cloud = cloud;
    this.#endpoint = endpoint;
  }

  /** @throws the end of a log when a process that should run has ended */
  async kubectl(...words: readonly string[]): Promise<string> {
    const ended = [this.#cloud, this.#edge].flatMap((service) => (service ? [service.failed] : []));
    const call = run(["kubectl", "--kubeconfig", join(this.#folder, "cloud/kubeconfig"), ...words]);
    try {
      return await Promise.race([call, ...ended]);
    } catch (error) {
      await Promise.race([Bun.sleep(100), ...ended]);
      throw error;
    }
  }

  /** Applies objects in one go. */
  async apply(...objects: readonly unknown[]): Promise<void> {
    const file = join(this.#folder, `${crypto.randomUUID()}.json`);
    writeFileSync(file, objects.map((object) => JSON.stringify(object)).join("\n"));
    await this.kubectl("apply", "-f", file);
  }

  /** For the node of this pair: it may join again under its name. */
  async token(): Promise<string> {
    return (await this.cloudcore("token", "create", "--node", this.node)).trim();
  }

  /** Runs a command of cloudcore beside the one that serves. @throws its output when it fails */
  async cloudcore(...words: readonly string[]): Promise<string> {
    return run([...program("cloud"), ...words, "--config", cloudConfig(this.#folder)]);
  }

  /** Runs a command of cloudcore or edgecore on their data. @returns what it printed @throws when it fails */
  async command(half: "cloud" | "edge", ...words: readonly string[]): Promise<string> {
    const file = half === "cloud" ? cloudConfig(this.#folder) : join(this.#folder, "edge.yaml");
    return run([...program(half), ...words, "--config", file]);
  }

  /** Starts a command of edgecore that goes on, in a directory. */
  startCommand(words: readonly string[], cwd: string): Bun.Subprocess<"ignore", "ignore", "pipe"> {
    const all = [...program("edge"), ...words, "--config", join(this.#folder, "edge.yaml")];
    return Bun.spawn(all, { cwd, stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  }

  /** The same ports as before, so that edges and kubeconfig find it again. */
  async startCloud(): Promise<void> {
    const { cloudhub = 0, "cloudhub-https": https = 0, embedded = 0 } = this.#ports;
    this.#cloud = await startCloud(this.#folder, [cloudhub, https, embedded]);
  }

  async killCloud(): Promise<void> {
    await kill(this.#cloud);
    this.#cloud = undefined;
  }

  async startEdge(options: { readonly token?: string; readonly dockerSocket?: string } = {}): Promise<void> {
    const file = join(this.#folder, "edge.yaml");
    const address = this.#endpoint ?? `unix://${options.dockerSocket ?? engineSocket}`;
    const programs =
      this.#programs && `processes: { enabled: true, programs: [${this.#programs.join(", ")}] }`;
    const engine =
      programs ?? `${this.#endpoint === undefined ? "docker-address" : "runtime-endpoint"}: "${address}"`;
    writeFileSync(
      file,
      `data-dir: ${this.edgeDir}
mqtt: { internal-server: "tcp://127.0.0.1:0" }
edgehub: { server: "127.0.0.1:${this.link.port}", https: "https://127.0.0.1:${this.#ports["cloudhub-https"]}" }
edged: { hostname-override: ${this.node}, ${engine}, read-only-port: 0, image-gc-high-threshold: 100, static-pod-path: "${this.manifestsDir}" }
devicetwin: { query-port: 0, dmi-socket: "${this.dmiSocket}" }
service-bus: { port: 0 }
meta-server: { port: 0 }
`,
    );
    this.#lives += 1;
    const hasJoined = existsSync(join(this.edgeDir, "certs/edge.crt"));
    const token = options.token ?? (hasJoined ? undefined : await this.token());
    const words = [...program("edge"), "--config", file, ...(token === undefined ? [] : ["--token", token])];
    this.#edge = startService("edgecore", this.#programs ? withoutEngines(words) : words, this.#edgeLog());
  }

  /** Where mappers register. */
  get dmiSocket(): string {
    return join(this.#folder, "dmi.sock");
  }

  /** Where the node looks for static pods; made by who wants some. */
  get manifestsDir(): string {
    return join(this.#folder, "manifests");
  }

  async killEdge(): Promise<void> {
    await kill(this.#edge);
    this.#edge = undefined;
  }

  /** As after a disk of the cloud was replaced and only its certificates were saved. */
  loseCloudDatabase(): void {
    for (const end of ["", "-wal", "-shm"])
      rmSync(join(this.#folder, `cloud/cloudcore.db${end}`), { force: true });
  }

  /** As after a new SD card: data and containers are gone. */
  async loseEdgeDisk(): Promise<void> {
    await this.killEdge();
    removeContainers(this.#owner);
    rmSync(this.edgeDir, { recursive: true });
  }

  /** A port of cloudcore by its name in `ports.json`. */
  cloudPort(name: string): number {
    return readPorts(this.#folder)[name] ?? 0;
  }

  /** A file in the data directory of cloudcore. */
  cloudFile(path: string): string {
    return join(this.#folder, "cloud", path);
  }

  /** What the present edgecore has logged. */
  edgeLog(): string {
    return existsSync(this.#edgeLog()) ? readFileSync(this.#edgeLog(), "utf8") : "";
  }

  /** The ends of all logs, for a test that has failed. */
  describe(): string {
    const logs = [join(this.#folder, "cloudcore.log"), this.#edgeLog()].filter((log) => existsSync(log));
    return logs.map((log) => `${log}:\n${tailOf(log)}`).join("\n");
  }

  get edgeRuns(): boolean {
    return this.#edge !== undefined && existsSync(`/proc/${this.#edge.pid}`);
  }

  get edgeDir(): string {
    return join(this.#folder, this.#edgeFolder);
  }

  /** The node gets another data directory, with its certificate and nothing else. */
  moveEdgeDir(name: string): void {
    const certs = join(this.edgeDir, "certs");
    this.#ownersBefore.push(this.#owner);
    this.#edgeFolder = name;
    cpSync(certs, join(this.edgeDir, "certs"), { recursive: true });
  }

  async ready(limitMs = 90_000): Promise<void> {
    const seconds = `--timeout=${Math.ceil(limitMs / 1000)}s`;
    await eventually(limitMs, () =>
      this.kubectl("wait", "--for=condition=Ready", `node/${this.node}`, seconds),
    );
  }

  /** Ids of this pair's containers, pause containers too, also those that have ended. */
  containers(...filters: readonly string[]): string[] {
    const given = [`label=io.kubeedge.owner=${this.#owner}`, ...filters].flatMap((one) => ["--filter", one]);
    return docker("ps", "-aq", "--no-trunc", ...given)
      .split("\n")
      .filter(Boolean)
      .toSorted();
  }

  /** One column of edgecore's database. */
  rows(sql: string): string[] {
    using db = new Database(join(this.edgeDir, "edgecore.db"), { readonly: true });
    return db
      .query<Record<string, string>, []>(sql)
      .all()
      .flatMap((row) => Object.values(row));
  }

  /** Waits until the outbox of edgecore is empty: all of it was acknowledged. */
  async outboxEmpty(limitMs = 10_000): Promise<void> {
    await until(limitMs, () => {
      const left = this.rows("SELECT message FROM outbox");
      return left.length === 0 || `the outbox holds ${left.join("\n")}`;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#edge?.[Symbol.asyncDispose]();
      await this.#cloud?.[Symbol.asyncDispose]();
    } finally {
      await this.link[Symbol.asyncDispose]();
      if (this.#programs) await removePrograms(this.edgeDir, this.#owner);
      else if (this.#endpoint === undefined)
        for (const owner of [...this.#ownersBefore, this.#owner]) removeContainers(owner);
      rmSync(this.#folder, { recursive: true, force: true });
    }
  }

  get #owner(): string {
    const place = createHash("sha256").update(this.edgeDir).digest("hex").slice(0, 12);
    return `${this.node}-${place}`;
  }

  #edgeLog(): string {
    return join(this.#folder, `edge-${this.#lives}.log`);
  }
}

/** Starts cloudcore alone; `startPair` adds a node that is Ready. */
export async function startCloudSide({ endpoint, programs }: PairOptions = {}): Promise<Pair> {
  if (endpoint === undefined && !programs) await makeDemoImage(engineSocket);
  const folder = tempDir("kubeedge-e2e").path;
  const cloud = await startCloud(folder, [0, 0, 0]);
  const ports = readPorts(folder);
  const link = await startCutProxy(ports["cloudhub"] ?? 0);
  return new Pair({
    folder,
    node: `e2e-${crypto.randomUUID().slice(0, 8)}`,
    link,
    ports,
    cloud,
    endpoint,
    programs,
  });
}

export async function startPair(options: PairOptions = {}): Promise<Pair> {
  const pair = await startCloudSide(options);
  try {
    await pair.startEdge();
    await pair.ready();
    return pair;
  } catch (error) {
    console.error(pair.describe());
    await pair[Symbol.asyncDispose]();
    throw error;
  }
}

/** A command that finds no engine on this machine. */
function withoutEngines(words: readonly string[]): string[] {
  const hide =
    'for s in /run/docker.sock /run/containerd/containerd.sock /run/crio/crio.sock; do [ ! -e $s ] || mount --bind /dev/null $s; done; exec "$@"';
  return ["unshare", "--mount", "--propagation", "slave", "sh", "-c", hide, "sh", ...words];
}

/** Ends the programs of a node. */
async function removePrograms(dataDir: string, owner: string): Promise<void> {
  await using runtime = processRuntime(dataDir, { owner });
  for (const { id, identity } of await runtime.list())
    await (identity.role === "sandbox" ? runtime.removeSandbox(id) : runtime.remove(id));
  removeCgroups(owner);
}

const cloudConfig = (folder: string): string => join(folder, "controller.yaml");

async function startCloud(folder: string, ports: readonly [number, number, number]): Promise<ServiceProcess> {
  const dataDir = join(folder, "cloud");
  mkdirSync(dataDir, { recursive: true });
  rmSync(join(dataDir, "ports.json"), { force: true });
  writeFileSync(
    cloudConfig(folder),
    `data-dir: ${dataDir}
cloudhub: { address: 127.0.0.1, port: ${ports[0]}, https-port: ${ports[1]}, advertise: [127.0.0.1] }
embedded: { port: ${ports[2]} }
telemetry: { port: 0 }
router: { port: 0, local-targets: true }
cloudstream: { tunnel-port: 0 }
`,
  );
  const words = [...program("cloud"), "--config", cloudConfig(folder)];
  const service = startService("cloudcore", words, join(folder, "cloudcore.log"));
  await Promise.race([
    service.failed,
    until(90_000, () => readPorts(folder)["cloudhub-https"] !== undefined || "cloudcore does not start"),
  ]);
  return service;
}

function readPorts(folder: string): Record<string, number> {
  const file = join(folder, "cloud/ports.json");
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Record<string, number>) : {};
}

async function kill(service: ServiceProcess | undefined): Promise<void> {
  if (!service) return;
  process.kill(service.pid, "SIGKILL");
  await service.failed.catch(() => undefined);
}

/** Waits for a condition. @throws what it last said instead of true */
export async function until(
  limitMs: number,
  condition: () => true | string | Promise<true | string>,
): Promise<void> {
  await eventually(limitMs, async () => {
    const said = await condition();
    if (said !== true) throw new Error(said);
  });
}

/** How long something took, on the monotonic clock. */
export async function measure(work: Promise<unknown>): Promise<number> {
  const since = performance.now();
  await work;
  return performance.now() - since;
}

/** A pod that stays, of the sample image. */
export function podSpec(node?: string): Record<string, unknown> {
  return {
    ...(node === undefined ? {} : { nodeName: node }),
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: "main",
        image: demoImage,
        imagePullPolicy: "IfNotPresent",
        command: ["/bin/busybox", "sleep", "3600"],
      },
    ],
  };
}

export function deployment(name: string, spec: Record<string, unknown>): Record<string, unknown> {
  const labels = { app: name };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "default" },
    spec: {
      replicas: 1,
      strategy: { type: "Recreate" },
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec },
    },
  };
}
