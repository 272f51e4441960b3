import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { eventually, startService } from "#internal/scripts/service.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const root = resolve(import.meta.dir, "../../..");

export interface Reply {
  readonly status: number;
  readonly text: string;
}

/** What an attack cost everybody else. */
export interface Damage {
  /** The longest that another client waited for the answer to a GET while the attack ran. */
  readonly slowestMs: number;
  /** How much the memory of the process grew at its highest. */
  readonly grewMb: number;
}

/** cloudcore with its embedded API as a process of its own, so that a test survives what freezes it. */
export class AttackedCloud implements AsyncDisposable {
  readonly dataDir: string;
  readonly #stack: AsyncDisposableStack;
  readonly pid: number;
  readonly #server: string;
  readonly #ca: string;
  readonly #token: string;

  constructor(folder: string, stack: AsyncDisposableStack, pid: number) {
    this.dataDir = join(folder, "cloud");
    this.#stack = stack;
    this.pid = pid;
    const kubeconfig = Bun.YAML.parse(readFileSync(join(this.dataDir, "kubeconfig"), "utf8")) as Kubeconfig;
    this.#server = kubeconfig.clusters[0].cluster.server;
    this.#ca = Buffer.from(kubeconfig.clusters[0].cluster["certificate-authority-data"], "base64").toString();
    this.#token = kubeconfig.users[0].user.token;
  }

  get kubeconfig(): string {
    return join(this.dataDir, "kubeconfig");
  }

  /** What it has logged so far. */
  get log(): string {
    return readFileSync(join(this.dataDir, "../cloudcore.log"), "utf8");
  }

  async call(
    method: string,
    path: string,
    body?: unknown,
    options: { readonly type?: string; readonly limitMs?: number; readonly accept?: string } = {},
  ): Promise<Reply> {
    const { type = "application/json", limitMs = 60_000, accept = "application/json" } = options;
    const raw = typeof body === "string" || body instanceof Uint8Array;
    const response = await fetch(`${this.#server}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.#token}`, "content-type": type, accept },
      ...(body !== undefined && { body: raw ? body : JSON.stringify(body) }),
      tls: { ca: this.#ca },
      signal: AbortSignal.timeout(limitMs),
    } as BunFetchRequestInit);
    return { status: response.status, text: await response.text() };
  }

  /** As `call`; fails when the API refuses. */
  async must(method: string, path: string, body?: unknown, type?: string): Promise<Json> {
    const reply = await this.call(method, path, body, type === undefined ? {} : { type });
    if (reply.status >= 300)
      throw new Error(`${method} ${path}: ${reply.status} ${reply.text.slice(0, 500)}`);
    return JSON.parse(reply.text) as Json;
  }

  /** Runs an attack while another client asks for a small object again and again. */
  async suffer(attack: () => Promise<unknown>, limitMs = 20_000): Promise<Damage> {
    const before = this.rssMb();
    let peak = before;
    let slowestMs = 0;
    const over = new AbortController();
    const look = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const since = performance.now();
        await this.call("GET", "/api/v1/namespaces/default", undefined, { limitMs }).catch(() => undefined);
        slowestMs = Math.max(slowestMs, performance.now() - since);
        peak = Math.max(peak, this.rssMb());
        await Bun.sleep(5);
      }
    };
    const looking = look();
    await Bun.sleep(20);
    try {
      await attack();
    } finally {
      over.abort();
      await looking;
    }
    return { slowestMs: Math.round(slowestMs), grewMb: Math.round(peak - before) };
  }

  rssMb(): number {
    const [, kb = "0"] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.pid}/status`, "utf8")) ?? [];
    return Number(kb) / 1024;
  }

  /** A stopped process does not handle SIGTERM. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

interface Kubeconfig {
  readonly clusters: readonly [
    { readonly cluster: { readonly server: string; readonly "certificate-authority-data": string } },
  ];
  readonly users: readonly [{ readonly user: { readonly token: string } }];
}

export interface Json {
  readonly [field: string]: Json;
}

export async function startAttackedCloud(): Promise<AttackedCloud> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(tempDir("kubeedge-attack")).path;
  const dataDir = join(folder, "cloud");
  mkdirSync(dataDir);
  const config = join(folder, "controller.yaml");
  writeFileSync(
    config,
    `data-dir: ${dataDir}
cloudhub: { address: 127.0.0.1, port: 0, https-port: 0, advertise: [127.0.0.1] }
embedded: { port: 0 }
telemetry: { port: 0 }
router: { port: 0 }
cloudstream: { tunnel-port: 0 }
`,
  );
  const program =
    process.env["KUBEEDGE_DIST"] === "1"
      ? [join(root, "dist/cloudcore")]
      : [process.execPath, join(root, "cloud/main.ts")];
  const words = [...program, "--config", config];
  const service = startService("cloudcore", words, join(folder, "cloudcore.log"));
  stack.defer(async () => {
    process.kill(service.pid, "SIGKILL");
    await service.failed.catch(() => undefined);
  });
  const ports = join(dataDir, "ports.json");
  await Promise.race([
    service.failed,
    eventually(20_000, async () => {
      if (!existsSync(ports) || !readFileSync(ports, "utf8").includes("cloudhub-https"))
        throw new Error("cloudcore does not start");
    }),
  ]);
  return new AttackedCloud(folder, stack.move(), service.pid);
}
