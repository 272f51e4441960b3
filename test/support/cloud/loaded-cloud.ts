import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { eventually, startService, tailOf, type ServiceProcess } from "#internal/scripts/service.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const root = resolve(import.meta.dir, "../../..");

/** cloudcore as a process of its own on free loopback ports, and what attacks on it need. */
export interface CloudProcess extends AsyncDisposable {
  readonly service: ServiceProcess;
  readonly dataDir: string;
  readonly ports: Readonly<Record<string, number>>;
  readonly caPem: string;
  readonly token: string;
  /** Calls the API as the administrator. */
  call(method: string, path: string, body?: unknown): Promise<Response>;
  /** Opens a TLS connection to the API, sends a GET as the administrator and reads nothing. */
  unread(path: string, headers?: Readonly<Record<string, string>>): Promise<TLSSocket>;
  residentMiB(): number;
  log(): string;
}

export async function startCloudProcess(
  options: { /** `ulimit -n` of the process */ readonly files?: number; readonly config?: string } = {},
): Promise<CloudProcess> {
  await using stack = new AsyncDisposableStack();
  const dir = stack.use(tempDir("cloud-process"));
  const dataDir = join(dir.path, "cloud");
  mkdirSync(dataDir, { recursive: true });
  const config = join(dir.path, "controller.yaml");
  writeFileSync(
    config,
    `data-dir: ${dataDir}
cloudhub: { address: 127.0.0.1, port: 0, https-port: 0, advertise: [127.0.0.1] }
embedded: { port: 0 }
router: { port: 0 }
cloudstream: { tunnel-port: 0 }
${options.config ?? "telemetry: { port: 0 }"}
`,
  );
  const words = [...program(), "--config", config];
  const limited = options.files === undefined ? words : limitFiles(options.files, words);
  const logFile = join(dir.path, "cloudcore.log");
  const service = stack.use(startService("cloudcore", limited, logFile));
  const ports = await Promise.race([
    service.failed,
    eventually(20_000, async () => readPorts(dataDir, logFile)),
  ]);
  const caPem = readCa(dataDir);
  const token = readFileSync(join(dataDir, "embedded/admin-token"), "utf8").trim();
  const port = ports["embedded"] ?? 0;
  const owned = stack.move();
  return {
    service,
    dataDir,
    ports,
    caPem,
    token,
    call: (method, path, body) =>
      fetch(`https://127.0.0.1:${port}${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        tls: { ca: caPem },
        timeout: false,
      } as BunFetchRequestInit),
    unread: (path, headers = {}) => openUnread({ port, caPem, token }, path, headers),
    residentMiB: () => residentMiB(service.pid),
    log: () => readFileSync(logFile, "utf8"),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function program(): string[] {
  if (process.env["KUBEEDGE_DIST"] === "1") return [join(root, "dist/cloudcore")];
  return [process.execPath, join(root, "cloud/main.ts")];
}

export function limitFiles(files: number, words: readonly string[]): string[] {
  return ["/bin/sh", "-c", `ulimit -n ${files} && exec "$@"`, "sh", ...words];
}

export function residentMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
}

function readPorts(dataDir: string, log: string): Record<string, number> {
  const file = join(dataDir, "ports.json");
  if (!existsSync(file)) throw new Error(`cloudcore does not start:\n${tailOf(log)}`);
  const ports = JSON.parse(readFileSync(file, "utf8")) as Record<string, number>;
  if (ports["cloudhub-https"] === undefined) throw new Error("cloudcore is not ready");
  return ports;
}

function readCa(dataDir: string): string {
  const text = readFileSync(join(dataDir, "kubeconfig"), "utf8");
  const data = /certificate-authority-data: "?([\w+/=]+)/.exec(text)?.[1] ?? "";
  return Buffer.from(data, "base64").toString();
}

/** A connection that sends a GET and reads nothing of the answer. */
export async function openUnread(
  to: { readonly port: number; readonly caPem: string; readonly token: string; readonly method?: string },
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<TLSSocket> {
  const { port, caPem, token, method = "GET" } = to;
  const ready = Promise.withResolvers<void>();
  const socket = connect({ port, host: "127.0.0.1", ca: caPem }, ready.resolve);
  socket.on("error", ready.reject);
  socket.pause();
  await ready.promise;
  socket.off("error", ready.reject);
  socket.on("error", () => undefined);
  const more = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(
    `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${token}\r\n${more.join("")}\r\n`,
  );
  return socket;
}
