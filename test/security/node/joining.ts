import { request } from "node:https";
import { join } from "node:path";
import { WebSocket } from "ws";
import type { HubConfig } from "#cloud/cloud-hub";
import { createKubeClient, resources, type KubeClient } from "#cloud/kube-client";
import { RecordStore } from "#cloud/cloud-hub/node-access";
import { systemClock } from "#shared/clock";
import { databaseHeader } from "#shared/wire";
import { createNodeRequest, toPem, type Authority, type KeyPair } from "#shared/pki";
import { startHarness, type Harness } from "#internal/test/cloud/cloud-hub/hub-harness.ts";
import { startTestServer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { makeJoinToken, type MadeToken, type TokenWish } from "#internal/test/support/cloud/join-token.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/** Doors for nodes that share one embedded API and one CA, as several cloudcores do. */
export interface Clouds extends AsyncDisposable {
  readonly server: TestServer;
  readonly kube: KubeClient;
  readonly records: RecordStore;
  readonly doors: readonly Harness[];
  readonly door: Harness;
  readonly ca: Authority;
  token(wish?: TokenWish): Promise<MadeToken>;
  makeNode(name: string, more?: Record<string, unknown>): Promise<void>;
  removeNode(name: string): Promise<void>;
  /** Opens one more door. */
  open(config?: Partial<HubConfig>): Promise<Harness>;
}

export async function startClouds(count = 1, config: Partial<HubConfig> = {}): Promise<Clouds> {
  const stack = new AsyncDisposableStack();
  const api = stack.use(tempDir("join-api"));
  const ca = stack.use(tempDir("join-ca"));
  const server = stack.use(await startTestServer(api.path));
  const path = join(api.path, "kubeconfig");
  server.api.writeKubeconfig(path);
  const connect = async (): Promise<KubeClient> =>
    stack.use(await createKubeClient({ from: "kubeconfig", path }, { clock: systemClock, log: silentLog() }));
  const open = async (own: Partial<HubConfig> = config): Promise<Harness> =>
    stack.use(await startHarness(own, { kube: await connect(), caDir: ca.path }));
  const doors: Harness[] = [];
  for (let index = 0; index < count; index += 1) doors.push(await open());
  const kube = await connect();
  const [door] = doors;
  if (!door) throw new Error("expected at least one cloud");
  return {
    server,
    kube,
    records: new RecordStore(kube),
    doors,
    door,
    ca: door.authority,
    token: (wish) => makeJoinToken(kube, door.authority, wish),
    makeNode: async (name, more = {}) => {
      await kube.create(resources.nodes, { apiVersion: "v1", kind: "Node", metadata: { name }, ...more });
    },
    removeNode: (name) => kube.remove(resources.nodes, { name }),
    open,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

export interface Answer {
  readonly status: number;
  /** of a refusal */
  readonly text: string;
  readonly retryAfter: string | undefined;
  /** of a certificate that was got */
  readonly pair: KeyPair;
}

/** Asks for a certificate as a node does; a key given is used again. */
export async function askCertificate(
  door: Harness,
  node: string,
  by: { readonly jwt?: string; readonly pair?: KeyPair; readonly key?: string; readonly der?: Uint8Array },
): Promise<Answer> {
  const made = await createNodeRequest(node, by.key);
  const der = by.der ?? made.der;
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const call = request(
    `https://127.0.0.1:${door.hub.httpsPort}/edge.crt`,
    {
      ca: door.authority.certPem,
      agent: false,
      ...by.pair,
      headers: {
        NodeName: node,
        "Content-Length": String(der.length),
        ...(by.jwt !== undefined && { Authorization: `Bearer ${by.jwt}` }),
      },
    },
    (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.on("end", () => {
        const body = Buffer.concat(parts);
        const status = response.statusCode ?? 0;
        resolve({
          status,
          text: status === 200 ? "" : body.toString().trim(),
          retryAfter: response.headers["retry-after"],
          pair: { cert: status === 200 ? toPem(body, "CERTIFICATE") : "", key: made.key },
        });
      });
    },
  );
  call.on("error", reject);
  call.end(Buffer.from(der));
  return promise;
}

/** @throws when no certificate is got */
export async function joinNode(clouds: Clouds, node: string, wish: TokenWish = {}): Promise<KeyPair> {
  const { jwt } = await clouds.token(wish);
  const answer = await askCertificate(clouds.door, node, { jwt });
  if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
  return answer.pair;
}

export interface Dialed extends Disposable {
  /** `open`, or the status and text of the refusal */
  readonly outcome: Promise<string>;
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  readonly socket: WebSocket;
}

/** Connects as an edgecore does, and stays alive. */
export function dial(
  door: Harness,
  node: string,
  pair: KeyPair,
  options: { readonly database?: string; readonly port?: number } = {},
): Dialed {
  const socket = new WebSocket(`wss://127.0.0.1:${options.port ?? door.hub.port}/p/${node}/events`, {
    ca: door.authority.certPem,
    ...pair,
    headers: { node_id: node, ...(options.database !== undefined && { [databaseHeader]: options.database }) },
    perMessageDeflate: false,
  });
  const outcome = Promise.withResolvers<string>();
  const closed = Promise.withResolvers<{ code: number; reason: string }>();
  socket.once("open", () => outcome.resolve("open"));
  socket.on("unexpected-response", (_request, response) => {
    let text = "";
    response.on("data", (part: Buffer) => (text += part.toString()));
    response.on("end", () => outcome.resolve(`${response.statusCode} ${text.trim()}`));
  });
  socket.on("error", (error) => outcome.resolve(error.message));
  socket.once("close", (code, reason) => closed.resolve({ code, reason: String(reason) }));
  return {
    outcome: outcome.promise,
    closed: closed.promise,
    socket,
    [Symbol.dispose]: () => socket.terminate(),
  };
}

/** @throws what it last said when time is up */
export async function eventually(
  holds: () => Promise<true | string> | true | string,
  limitMs = 5000,
): Promise<void> {
  const end = performance.now() + limitMs;
  for (;;) {
    const said = await holds();
    if (said === true) return;
    if (performance.now() > end) throw new Error(said);
    await Bun.sleep(10);
  }
}
