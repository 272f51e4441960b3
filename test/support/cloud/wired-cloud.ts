import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { WebSocket } from "ws";
import { systemClock, type Clock } from "#shared/clock";
import { loadCloudConfig } from "#shared/config";
import { newMessage, type WireMessage } from "#shared/wire";
import { loadAuthority } from "#shared/pki";
import { startCloudcore } from "#cloud/compose";
import type { Answer } from "./api-server.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const stamp = { id: () => crypto.randomUUID(), nowMs: () => Date.now() };

/** A whole cloudcore with the embedded API on free ports, for those who talk to it over its sockets. */
export interface WiredCloud extends AsyncDisposable {
  readonly log: ReturnType<typeof silentLog>;
  readonly dataDir: string;
  readonly ports: ReadonlyMap<string, number>;
  /** Of the embedded API. */
  readonly url: string;
  /** Calls the embedded API as the administrator unless headers identify another user. */
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** A connection with the certificate of that node, which has registered, as this Node if one is given. */
  node(name: string, registered?: object): Promise<WiredNode>;
}

export async function startWiredCloud(clock: Clock = systemClock): Promise<WiredCloud> {
  await using stack = new AsyncDisposableStack();
  const dir = stack.use(tempDir("wired-cloud"));
  const file = join(dir.path, "controller.yaml");
  const listeners = "{ address: 127.0.0.1, port: 0, https-port: 0, advertise: [127.0.0.1] }";
  writeFileSync(
    file,
    `cloudhub: ${listeners}\nembedded: { port: 0 }\ntelemetry: { port: 0 }\nrouter: { port: 0 }\ncloudstream: { tunnel-port: 0 }\n`,
  );
  const places = { file, workingDir: dir.path, executable: "cloudcore" };
  const { config } = loadCloudConfig(places, { dataDir: dir.path });
  const log = silentLog();
  const ports = new Map<string, number>();
  const deps = {
    clock,
    log,
    version: "test",
    reportPort: (name: string, port: number) => ports.set(name, port),
  };
  stack.use(
    await startCloudcore(config, {
      ...deps,
      onReload: () => ({ [Symbol.dispose]: () => undefined }),
      onHealth: () => ({ [Symbol.dispose]: () => undefined }),
    }),
  );
  const ca = readFileSync(join(dir.path, "ca/rootCA.crt"), "utf8");
  const authority = await loadAuthority({
    cert: ca,
    key: readFileSync(join(dir.path, "ca/rootCA.key"), "utf8"),
  });
  const token = readFileSync(join(dir.path, "embedded/admin-token"), "utf8").trim();
  const url = `https://127.0.0.1:${ports.get("embedded") ?? 0}`;
  const owned = stack.move();
  return {
    log,
    dataDir: dir.path,
    ports,
    url,
    call: caller(url, token),
    node: async (name, registered = { metadata: { name } }) => {
      const subject = { commonName: `system:node:${name}`, organizations: ["system:nodes"] };
      const pair = await authority.issue({ subject, usage: "client", days: 30, nowMs: Date.now() });
      const hub = `wss://127.0.0.1:${ports.get("cloudhub") ?? 0}/e632aba927ea4ac2b575ec1603d56f10/${name}/events`;
      const socket = new WebSocket(hub, { ca, ...pair, headers: { node_id: name } });
      const node = owned.use(new WiredNode(name, socket));
      await node.opened;
      await node.ask("insert", `default/node/${name}`, registered);
      return node;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function caller(url: string, token: string): WiredCloud["call"] {
  return async (method, path, body, headers = {}) => {
    const type = body === undefined ? {} : { "content-type": "application/json" };
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...type, ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      tls: { rejectUnauthorized: false },
    });
    const text = await response.text();
    const { status } = response;
    return {
      status,
      headers: response.headers,
      body: JSON.parse(text === "" ? "{}" : text) as Answer["body"],
    };
  };
}

/** A node that talks by hand over its own connection. */
export class WiredNode implements Disposable {
  readonly name: string;
  readonly opened: Promise<void>;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<string, (answer: unknown) => void>();

  constructor(name: string, socket: WebSocket) {
    this.name = name;
    this.#socket = socket;
    const opened = Promise.withResolvers<void>();
    this.opened = opened.promise;
    socket.once("open", () => opened.resolve());
    socket.on("error", (error) => opened.reject(error));
    socket.on("message", (data: Buffer) => this.#read(JSON.parse(data.toString("utf8")) as WireMessage));
  }

  /** What the cloud answers, as edged would ask it. */
  ask(operation: string, resource: string, content: unknown = ""): Promise<unknown> {
    const message = newMessage(stamp, { source: "edged", group: "meta", operation, resource, content });
    const answer = Promise.withResolvers<unknown>();
    this.#waiting.set(message.header.msg_id, (value) => answer.resolve(value));
    this.#socket.send(JSON.stringify(message));
    return answer.promise;
  }

  [Symbol.dispose](): void {
    this.#socket.terminate();
  }

  #read(message: WireMessage): void {
    const parent = message.header.parent_msg_id ?? "";
    const waiting = this.#waiting.get(parent);
    this.#waiting.delete(parent);
    if (waiting) return waiting(message.content);
    if (message.route.operation === "response") return;
    const { source = "", resource = "" } = message.route;
    const parts = { source, group: "resource", operation: "response", resource, content: "OK" };
    this.#socket.send(JSON.stringify(newMessage(stamp, { ...parts, parentId: message.header.msg_id })));
  }
}
