import { WebSocket } from "ws";
import { ensureCertificates } from "#cloud/cloud-hub/certificates";
import { startCloudHub, type CloudHub, type HubConfig } from "#cloud/cloud-hub";
import type { KubeClient } from "#cloud/kube-client";
import { Bus } from "#shared/bus";
import { systemClock } from "#shared/clock";
import type {
  AckedObject,
  CloudCatalog,
  DeviceStatusReport,
  HistoryAnswer,
  NodeAnswer,
  NodeRequest,
  ObjectDelivery,
  RuleCommand,
  ServiceCall,
  ServiceReply,
  TargetRequest,
} from "#shared/topics";
import type { ByteStream, StreamHead } from "#shared/streams";
import { newMessage, type WireMessage } from "#shared/wire";
import { createAuthority, type Authority, type KeyPair } from "#shared/pki";
import { FakeKubeClient } from "#internal/test/support/fake/fake-kube-client.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

export const stamp = { id: () => crypto.randomUUID(), nowMs: () => Date.now() };

/** A hub on free ports with a bus around it that writes down what the hub says. */
export async function startHarness(
  config: Partial<HubConfig> = {},
  { kube = new FakeKubeClient(), caDir }: { readonly kube?: KubeClient; readonly caDir?: string } = {},
): Promise<Harness> {
  const stack = new AsyncDisposableStack();
  const dir = stack.use(tempDir("cloudhub"));
  const log = silentLog();
  const bus = stack.use(
    new Bus<CloudCatalog>({ onFailure: (topic) => log.error("subscriber failed", { topic }) }),
  );
  const certificates = await ensureCertificates({ dataDir: caDir ?? dir.path, nowMs: Date.now() });
  const authority = certificates.authority ?? (await createAuthority({ commonName: "x", days: 1, nowMs: 0 }));
  const events: HubEvent[] = [];
  const answers = new Map<string, NodeAnswer>();
  const versions = new Map<string, string>();
  const asked: string[] = [];
  const waiting = new Set<() => void>();
  const note = (line: HubEvent): void => {
    events.push(line);
    for (const wake of waiting) wake();
  };
  const modules = bus.port<
    "node.close",
    "object.deliver" | "device.history" | "stream.open" | "rule.command" | "service.call",
    "node.connected" | "node.disconnected" | "object.acked",
    | "node.request"
    | "device.report"
    | "object.sending"
    | "device.upload"
    | "api.stream"
    | "rule.upload"
    | "rule.request"
  >("test");
  modules.answer("node.request", (body) => {
    note({ topic: "node.request", body });
    return Promise.resolve<NodeAnswer>(answers.get(body.name) ?? { ok: true });
  });
  modules.answer("device.report", async (body) => {
    note({ topic: "device.report", body });
    return undefined;
  });
  modules.on("node.connected", ({ node }) => note({ topic: "connected", body: node }));
  modules.on("node.disconnected", ({ node }) => note({ topic: "disconnected", body: node }));
  modules.on("object.acked", (body) => note({ topic: "acked", body }));
  modules.answer("object.sending", ({ object }) => {
    asked.push(object.uid);
    return Promise.resolve(versions.get(object.uid) ?? "0");
  });
  const uploads: string[] = [];
  const full = new Set<string>();
  modules.answer("device.upload", async ({ content }) => {
    uploads.push(content);
    return !full.has(content);
  });
  const streams: StreamTaker[] = [];
  modules.answer("api.stream", async ({ node, stream }) => {
    for (const take of streams) take(node, stream);
    return undefined;
  });
  const router: RouterOfTest = { wants: () => true, call: () => "" };
  modules.answer("rule.upload", async ({ content }) => router.wants(content));
  modules.answer("rule.request", async (request) => router.call(request));
  const hub = stack.use(
    await startCloudHub(
      {
        address: "127.0.0.1",
        port: 0,
        httpsPort: 0,
        tunnelPort: 0,
        keepaliveMs: 30_000,
        writeTimeoutMs: 30_000,
        nodeLimit: 10,
        edgeCertDays: 365,
        sharedCertificate: false,
        devices: true,
        rules: false,
        ...config,
      },
      { port: bus.port("cloudhub"), kube, clock: systemClock, log, certificates },
    ),
  );
  return {
    hub,
    kube,
    authority,
    events,
    asked,
    versions,
    uploads,
    full,
    log,
    dir: dir.path,
    answers,
    deliver: (node, delivery) => modules.ask("object.deliver", { node, ...delivery }),
    askHistory: (node, timeoutMs = 5000) =>
      modules.ask("device.history", {
        node,
        namespace: "default",
        device: "d",
        property: "t",
        since: 0,
        until: 9,
        limit: 10,
        timeoutMs,
      }),
    openStream: (node, head) => modules.ask("stream.open", { node, head }),
    router,
    command: (node, command, timeoutMs = 5000) => modules.ask("rule.command", { node, command, timeoutMs }),
    call: (node, call, timeoutMs = 5000) => modules.ask("service.call", { node, call, timeoutMs }),
    onApiStream: (take) => void streams.push(take),
    closeNode: (node) => modules.emit("node.close", { node, reason: "deleted" }),
    until: async (isIt) => {
      while (!isIt(events)) await new Promise<void>((resolve) => waiting.add(resolve));
      waiting.clear();
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

export type HubEvent =
  | { readonly topic: "node.request"; readonly body: NodeRequest }
  | { readonly topic: "device.report"; readonly body: DeviceStatusReport }
  | { readonly topic: "connected" | "disconnected"; readonly body: string }
  | { readonly topic: "acked"; readonly body: AckedObject };

export interface Harness extends AsyncDisposable {
  readonly hub: CloudHub;
  readonly kube: KubeClient;
  readonly authority: Authority;
  readonly events: readonly HubEvent[];
  readonly asked: readonly string[];
  readonly versions: Map<string, string>;
  readonly uploads: readonly string[];
  /** Uploads for which there is no room. */
  readonly full: Set<string>;
  readonly log: { readonly lines: string[] };
  readonly dir: string;
  /** By name of the object: what a request for it is answered; "OK" unless set. */
  readonly answers: Map<string, NodeAnswer>;
  askHistory(node: string, timeoutMs?: number): Promise<HistoryAnswer>;
  deliver(node: string, delivery: Omit<ObjectDelivery, "node">): Promise<undefined>;
  openStream(node: string, head: StreamHead): Promise<ByteStream>;
  readonly router: RouterOfTest;
  command(node: string, command: RuleCommand, timeoutMs?: number): Promise<boolean>;
  call(node: string, call: ServiceCall, timeoutMs?: number): Promise<ServiceReply>;
  /** Takes the streams of nodes to the API. */
  onApiStream(take: StreamTaker): void;
  closeNode(node: string): Promise<void>;
  until(isIt: (events: readonly HubEvent[]) => boolean): Promise<void>;
}

/** What the router answers to the hub. */
export interface RouterOfTest {
  /** Whether it has an upload on disk, or no rule wants it. */
  wants: (content: string) => boolean;
  call: (request: TargetRequest) => string;
}

export type StreamTaker = (node: string, stream: ByteStream) => void;

export function clientPair(authority: Authority, commonName: string, nowMs = Date.now()): Promise<KeyPair> {
  const subject = { commonName, organizations: ["system:nodes"] };
  return authority.issue({ subject, usage: "client", days: 30, nowMs });
}

/** A node that talks by hand. */
export class RawNode implements Disposable {
  readonly #socket: WebSocket;
  readonly #frames: WireMessage[] = [];
  #wake: (() => void) | undefined;
  readonly opened: Promise<void>;
  readonly closed: Promise<number>;

  constructor(
    harness: Harness,
    pair: Partial<KeyPair>,
    at: { node?: string; path?: string; headers?: Record<string, string> } = {},
  ) {
    this.#socket = new WebSocket(`wss://127.0.0.1:${harness.hub.port}${at.path ?? "/p/n/events"}`, {
      ca: harness.authority.certPem,
      ...(pair.cert === undefined ? {} : { cert: pair.cert, key: pair.key ?? "" }),
      headers: { ...at.headers, ...(at.node === undefined ? {} : { node_id: at.node }) },
      perMessageDeflate: false,
    });
    this.opened = new Promise((resolve, reject) => {
      this.#socket.once("open", () => resolve());
      this.#socket.once("error", (error) => reject(error));
    });
    this.opened.catch(() => undefined);
    this.closed = new Promise((resolve) => void this.#socket.once("close", (code) => resolve(code)));
    this.#socket.on("error", () => undefined);
    this.#socket.on("message", (data: Buffer, isBinary) => {
      if (isBinary) return;
      this.#frames.push(JSON.parse(data.toString("utf8")) as WireMessage);
      this.#wake?.();
    });
  }

  async next(): Promise<WireMessage> {
    for (;;) {
      const frame = this.#frames.shift();
      if (frame) return frame;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  say(
    source: string,
    operation: string,
    resource: string,
    more: { content?: unknown; parentId?: string; group?: string } = {},
  ): void {
    const { group = "resource", content = "" } = more;
    const parts = { source, group, operation, resource, content };
    this.#socket.send(JSON.stringify(newMessage(stamp, { ...parts, parentId: more.parentId })));
  }

  /** Stops reading. */
  pause(): void {
    this.#socket.pause();
  }

  raw(text: string | Uint8Array): void {
    this.#socket.send(text);
  }

  ack(message: WireMessage): void {
    const { source = "", resource = "" } = message.route;
    this.say(source, "response", resource, { content: "OK", parentId: message.header.msg_id });
  }

  [Symbol.dispose](): void {
    this.#socket.terminate();
  }
}
