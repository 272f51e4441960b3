import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { eventually, startService, type ServiceProcess } from "#internal/scripts/service.ts";

const root = resolve(import.meta.dir, "../../..");

export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** cloudcore as a process of its own on a data directory, with free ports of the loopback. */
export class CloudProcess implements AsyncDisposable {
  readonly dataDir: string;
  readonly #config: string;
  readonly #log: string;
  #service: ServiceProcess | undefined;

  constructor(folder: string, more = "") {
    this.dataDir = join(folder, "cloud");
    this.#config = join(folder, "controller.yaml");
    this.#log = join(folder, "cloudcore.log");
    writeFileSync(
      this.#config,
      `data-dir: ${this.dataDir}
cloudhub: { address: 127.0.0.1, port: 0, https-port: 0, advertise: [127.0.0.1] }
embedded: { port: 0${more} }
telemetry: { port: 0 }
router: { port: 0 }
cloudstream: { tunnel-port: 0 }
`,
    );
  }

  /** Starts it and waits until nodes can connect. @throws the end of its log when it ends before */
  async start(): Promise<void> {
    rmSync(join(this.dataDir, "ports.json"), { force: true });
    const service = startService("cloudcore", [...this.#words(), "--config", this.#config], this.#log);
    this.#service = service;
    const listening = eventually(20_000, async () => {
      if (this.ports()["cloudhub"] === undefined) throw new Error("cloudcore does not listen");
    });
    await Promise.race([service.failed, listening]);
  }

  get pid(): number {
    return this.#service?.pid ?? 0;
  }

  ports(): Record<string, number> {
    const file = join(this.dataDir, "ports.json");
    return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Record<string, number>) : {};
  }

  /** Everything it logged in all its lives. */
  log(): string {
    return existsSync(this.#log) ? readFileSync(this.#log, "utf8") : "";
  }

  /** Runs a command of cloudcore, or cloudcore itself when it is expected to end. */
  async run(...words: readonly string[]): Promise<Ended> {
    return finish(this.spawn(...words));
  }

  spawn(...words: readonly string[]): Bun.Subprocess<"ignore", "pipe", "pipe"> {
    const all = [...this.#words(), ...words, "--config", this.#config];
    return Bun.spawn(all, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  }

  async stop(): Promise<void> {
    await this.#service?.[Symbol.asyncDispose]();
    this.#service = undefined;
  }

  async kill(): Promise<void> {
    if (this.#service) process.kill(this.#service.pid, "SIGKILL");
    await this.#service?.failed.catch(() => undefined);
    this.#service = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #words(): string[] {
    if (process.env["KUBEEDGE_DIST"] === "1") return [join(root, "dist/cloudcore")];
    return [process.execPath, join(root, "cloud/main.ts")];
  }
}

export async function finish(child: Bun.Subprocess<"ignore", "pipe", "pipe">): Promise<Ended> {
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, out, err };
}
