import { readFileSync } from "node:fs";
import { connect } from "node:tls";
import ruleCrd from "#conf/crds/rules_v1_rule.yaml" with { type: "text" };
import ruleEndpointCrd from "#conf/crds/rules_v1_ruleendpoint.yaml" with { type: "text" };
import { ensureCertificates } from "#cloud/cloud-hub/certificates";
import { createKubeClient, type KubeClient } from "#cloud/kube-client";
import { createRuleAdmission, startRouter, type Router, type RouterStartConfig } from "#cloud/router";
import { Bus } from "#shared/bus";
import { textPayload } from "#shared/bytes";
import { systemClock } from "#shared/clock";
import { UnavailableError } from "#shared/errors";
import type { KubeObject, Rule, RuleStatus } from "#shared/kube";
import { serveOver, type ByteStream } from "#shared/streams";
import type {
  CloudCatalog,
  DeliveredObject,
  ObjectDelivery,
  RuleCommand,
  ServiceCall,
  ServiceReply,
} from "#shared/topics";
import { checkRequest, type UncheckedRequest } from "#internal/edge/service-bus/request.ts";
import { tunnel } from "#internal/edge/service-bus/tunnel.ts";
import { link, type Linked } from "#internal/test/shared/streams/linked.ts";
import {
  adminToken,
  ownToken,
  startTestServer,
  type TestServer,
} from "#internal/test/support/cloud/api-server.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

export const apiVersion = "rules.kubeedge.io/v1";
const rulesPath = `/apis/${apiVersion}/namespaces/default`;

export interface SentCommand {
  readonly node: string;
  readonly command: RuleCommand;
}

/** The router with a real API, a real database and real streams; the test is the hub and the nodes behind it. */
export class RouterHarness implements AsyncDisposable {
  readonly api: TestServer;
  readonly caPem: string;
  readonly log: ReturnType<typeof silentLog>;
  readonly commands: SentCommand[] = [];
  readonly delivered: ObjectDelivery[] = [];
  readonly calls: ServiceCall[] = [];
  readonly records = new Map<string, DeliveredObject[]>();
  /** What nodes answer to a publication; a rejection is a failure. */
  publish: (node: string, topic: string, payload: string) => Promise<boolean> = () => Promise.resolve(true);
  reply: ServiceReply = { status: 200, headers: [], body: new Uint8Array() };
  /** What the servers on the nodes answer, by port. */
  serve: (request: Request, node: string) => Promise<Response> = () => Promise.resolve(new Response("ok"));
  /** Where WebSockets to nodes end, instead of at the port of the rule. */
  webSocketPort = 0;
  router: Router;
  readonly #stack: AsyncDisposableStack;
  readonly #links: Map<string, Linked>;
  readonly #port: ReturnType<typeof hubPort>;
  readonly #restart: () => Promise<Router>;

  constructor(parts: HarnessParts) {
    this.api = parts.api;
    this.caPem = parts.caPem;
    this.log = parts.log;
    this.router = parts.router;
    this.#stack = parts.stack;
    this.#links = parts.links;
    this.#port = parts.port;
    this.#restart = parts.restart;
  }

  get url(): string {
    return `https://127.0.0.1:${this.router.port}`;
  }

  /** A request with a token; the administrator's unless given, none if empty. */
  request(path: string, init: RequestInit & { readonly token?: string } = {}): Promise<Response> {
    const { token = adminToken, headers, ...rest } = init;
    const all = new Headers(headers);
    if (token !== "") all.set("authorization", `Bearer ${token}`);
    return fetch(`${this.url}${path}`, {
      ...rest,
      headers: all,
      tls: { ca: this.caPem },
      timeout: false,
      decompress: false,
    } as BunFetchRequestInit);
  }

  /** Sends bytes as they are, and returns all that comes back until the connection ends. */
  async raw(text: string, options: { readonly waitMs?: number } = {}): Promise<string> {
    const socket = connect({ port: this.router.port, host: "127.0.0.1", ca: this.caPem });
    const parts: Buffer[] = [];
    const closed = Promise.withResolvers<void>();
    socket.on("data", (part: Buffer) => parts.push(part));
    socket.on("close", () => closed.resolve());
    socket.on("error", () => closed.resolve());
    socket.on("secureConnect", () => socket.write(text));
    using _late = systemClock.after(options.waitMs ?? 1500, () => socket.destroy());
    await closed.promise;
    return Buffer.concat(parts).toString("latin1");
  }

  async put(kind: "Rule" | "RuleEndpoint", name: string, spec: object): Promise<void> {
    const plural = kind === "Rule" ? "rules" : "ruleendpoints";
    const path = `${rulesPath}/${plural}`;
    const object = { apiVersion, kind, metadata: { name, namespace: "default" }, spec };
    const known = await this.api.call("GET", `${path}/${name}`);
    const { status, body } =
      known.status === 404
        ? await this.api.call("POST", path, object)
        : await this.api.call(
            "PATCH",
            `${path}/${name}`,
            { spec },
            { "content-type": "application/merge-patch+json" },
          );
    if (status >= 300) throw new Error(JSON.stringify(body));
  }

  async remove(name: string): Promise<void> {
    await this.api.call("DELETE", `${rulesPath}/rules/${name}`);
  }

  async status(name: string): Promise<RuleStatus> {
    const { body } = await this.api.call("GET", `${rulesPath}/rules/${name}`);
    return (body as unknown as Rule).status ?? {};
  }

  async addNode(name: string, labels: Record<string, string> = {}): Promise<void> {
    const metadata = { name, labels: { "node-role.kubernetes.io/edge": "", ...labels } };
    await this.api.call("POST", "/api/v1/nodes", { apiVersion: "v1", kind: "Node", metadata });
  }

  /** A node connects: ours, with a link of streams, unless it is KubeEdge's. */
  async connect(node: string, { kubeedge = false } = {}): Promise<void> {
    if (!kubeedge) {
      const linked = await link();
      this.#links.set(node, linked);
      void this.#serveLink(node, linked);
    }
    await this.#port.emit("node.connected", { node, streams: !kubeedge });
  }

  async disconnect(node: string): Promise<void> {
    this.cut(node);
    await this.#port.emit("node.disconnected", { node, reason: "test" });
  }

  cut(node: string): void {
    const linked = this.#links.get(node);
    linked?.cut();
    linked?.cloud.end("the link is lost");
  }

  upload(
    node: string,
    topic: string,
    payload: Uint8Array | string,
    id: string = crypto.randomUUID(),
  ): Promise<boolean> {
    const { text: content, bytes } = textPayload(Buffer.from(payload));
    const sentMs = Date.now();
    return this.#port.ask("rule.upload", { node, id, topic, content, sentMs, ...(bytes && { bytes }) });
  }

  ask(node: string, targetUrl: string, payload: string, id = "q1"): Promise<string> {
    return this.#port.ask("rule.request", {
      node,
      id,
      targetUrl,
      payload: new TextEncoder().encode(payload),
    });
  }

  /** Ends the router and starts it again on its database. */
  async restart(): Promise<void> {
    await this.router[Symbol.asyncDispose]();
    this.router = await this.#restart();
    for (const node of this.#links.keys()) await this.#port.emit("node.connected", { node, streams: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.router[Symbol.asyncDispose]();
    for (const linked of this.#links.values()) await linked[Symbol.asyncDispose]();
    await this.#stack.disposeAsync();
  }

  async #serveLink(node: string, linked: Linked): Promise<void> {
    for (;;) {
      const stream = await linked.atNode();
      const { port, upgrade } = stream.head;
      if (upgrade === "websocket") {
        const check = (asked: UncheckedRequest) => ({ ...checkRequest(asked), port: this.webSocketPort });
        void tunnel(stream, { check }, systemClock);
        continue;
      }
      void serveOver(stream, `http://127.0.0.1:${String(port)}`, (request) => this.serve(request, node));
    }
  }
}

interface HarnessParts {
  readonly api: TestServer;
  readonly caPem: string;
  readonly log: ReturnType<typeof silentLog>;
  readonly router: Router;
  readonly stack: AsyncDisposableStack;
  readonly links: Map<string, Linked>;
  readonly port: ReturnType<typeof hubPort>;
  readonly restart: () => Promise<Router>;
}

function hubPort(bus: Bus<CloudCatalog>) {
  return bus.port<
    "node.connected" | "node.disconnected" | "node.resync",
    "rule.request" | "rule.upload",
    never,
    "object.deliver" | "object.delivered" | "rule.command" | "service.call" | "stream.open"
  >("hub");
}

const config: Omit<RouterStartConfig, "dataDir"> = {
  address: "127.0.0.1",
  port: 0,
  bodyBytes: 64 * 1024 * 1024,
  queueBytes: 16_000_000,
  queueAgeMs: 3_600_000,
  localTargets: true,
};

export async function startRouterHarness(
  options: Partial<typeof config> & { readonly endpoints?: boolean } = {},
): Promise<RouterHarness> {
  const stack = new AsyncDisposableStack();
  const dir = stack.use(tempDir("router"));
  const api = stack.use(await startTestServer(dir.path, { admit: createRuleAdmission() }));
  await api.api.ensureObjects([ruleEndpointCrd, ruleCrd].map((text) => Bun.YAML.parse(text) as KubeObject));
  const log = silentLog();
  const access = {
    from: "inline",
    server: "http://localhost",
    socket: api.api.socket,
    token: ownToken,
  } as const;
  const kube: KubeClient = stack.use(await createKubeClient(access, { clock: systemClock, log }));
  const bus = stack.use(
    new Bus<CloudCatalog>({
      onFailure: (topic, module, error) => log.error("a subscriber failed", { topic, module, error }),
    }),
  );
  const certificates = await ensureCertificates({
    dataDir: dir.path,
    nowMs: Date.now(),
    advertise: ["127.0.0.1"],
  });
  const links = new Map<string, Linked>();
  const port = hubPort(bus);
  const start = (): Promise<Router> => {
    const pems = { cert: certificates.serverCert, key: certificates.serverKey };
    const parts = {
      port: bus.port("router"),
      kube,
      clock: systemClock,
      log,
      pems,
      reportPort: () => undefined,
    } as const;
    return startRouter({ ...config, ...options, dataDir: dir.path }, parts);
  };
  const harness: { current?: RouterHarness } = {};
  port.answer("stream.open", async ({ node, head }): Promise<ByteStream> => {
    const linked = links.get(node);
    if (!linked) throw new UnavailableError("no-streams", `node ${node} has no streams`);
    return linked.cloud.open(head);
  });
  port.answer("rule.command", async ({ node, command }) => {
    harness.current?.commands.push({ node, command });
    if (command.operation !== "publish") return false;
    return (await harness.current?.publish(node, command.topic, command.payload)) ?? false;
  });
  port.answer("service.call", async ({ call }) => {
    harness.current?.calls.push(call);
    return harness.current?.reply ?? { status: 500, headers: [], body: new Uint8Array() };
  });
  port.answer("object.deliver", async (delivery) => {
    harness.current?.delivered.push(delivery);
    return undefined;
  });
  port.answer("object.delivered", async ({ node }) => harness.current?.records.get(node) ?? []);
  const router = await start();
  const caPem = certificates.caPem;
  const made = new RouterHarness({ api, caPem, log, router, stack, links, port, restart: start });
  harness.current = made;
  if (options.endpoints !== false) {
    await made.put("RuleEndpoint", "rest", { ruleEndpointType: "rest" });
    await made.put("RuleEndpoint", "bus", { ruleEndpointType: "eventbus" });
    await made.put("RuleEndpoint", "app", {
      ruleEndpointType: "servicebus",
      properties: { service_port: "8080" },
    });
  }
  return made;
}

/** Polls until what is expected holds. */
export async function until<T>(
  read: () => T | Promise<T>,
  holds: (value: T) => boolean,
  limitMs = 5000,
): Promise<T> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const value = await read();
    if (holds(value)) return value;
    if (Date.now() > deadline) throw new Error(`still ${JSON.stringify(value)} after ${limitMs} ms`);
    await Bun.sleep(20);
  }
}

export function residentMiB(pid = process.pid): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
}
