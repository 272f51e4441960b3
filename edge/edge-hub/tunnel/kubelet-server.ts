import { createServer } from "node:http";
import { Duplex } from "node:stream";
import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { JsonObject } from "#shared/json";
import type { Pod } from "#shared/kube";
import { answerKubeletRequest, kubeletTarget } from "#shared/kubelet-api";
import type { KubeletRequest, TunnelAnswer, TunnelConnection } from "#shared/kubelet-tunnel";
import type { Logger } from "#shared/log";
import { askPod, podStreamHead, refusePod } from "#shared/pod-streams";
import { expositionType } from "#shared/prometheus";
import type { NodeEnd } from "#shared/remote-command";
import { openLocalStream, serveOver, type ByteStream } from "#shared/streams";
import { answerUpgrades, type UpgradeOffer } from "#shared/upgrades";

export interface KubeletServerOptions {
  readonly listPods: () => Promise<readonly Pod[]>;
  /** Hands a stream to what serves the pods of this node. */
  readonly serve: (stream: ByteStream) => Promise<undefined>;
  /** The text of `/metrics` and of the paths below it; undefined: there is none. */
  readonly figures: (part: string) => Promise<string | undefined>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The server of a kubelet, for connections that come through the tunnel. */
export class KubeletServer {
  readonly #options: KubeletServerOptions;
  /** It listens nowhere: connections are given to it. */
  readonly #http = createServer();

  constructor(options: KubeletServerOptions) {
    this.#options = options;
    const { clock } = options;
    answerUpgrades(this.#http, { clock, upgrade: (request, offer) => this.#answer(request, offer) });
  }

  /** Serves one request on a connection. */
  serve(request: KubeletRequest, connection: TunnelConnection, wants: TunnelAnswer): void {
    if (wants === "body") return void this.#sendBody(request, connection);
    const duplex = duplexOf(request, connection);
    duplex.on("error", () => duplex.destroy());
    this.#http.emit("connection", duplex);
  }

  /** Serves an HTTP request of a cloud whose link has streams. Never rejects. */
  async serveStream(stream: ByteStream): Promise<void> {
    await serveOver(stream, "http://localhost", (request) => this.#answer(request, undefined));
  }

  /** Whatever the status is: there is no way to tell it. Never rejects. */
  async #sendBody({ path, headers }: KubeletRequest, connection: TunnelConnection): Promise<void> {
    const left = new AbortController();
    void connection.closed.then(() => left.abort());
    try {
      const fields = headers.map(([name, value]): [string, string] => [name, value]);
      const { body } = await this.#answer(
        new Request(`http://localhost${path}`, { headers: fields, signal: left.signal }),
        undefined,
      );
      if (body) await body.pipeTo(connection.writable);
      else await connection.writable.close();
    } catch {
      connection.destroy();
    }
  }

  async #answer(request: Request, offer: UpgradeOffer | undefined): Promise<Response> {
    const { pathname } = new URL(request.url);
    try {
      const target = kubeletTarget(request.method, pathname);
      if (target) return await answerKubeletRequest(this.#parts(), request, { target, offer });
      const figures = request.method === "GET" ? await this.#figuresAt(pathname) : undefined;
      if (figures !== undefined)
        return new Response(figures, { headers: { "Content-Type": expositionType } });
      return new Response("404 page not found\n", { status: 404 });
    } catch (error) {
      this.#options.log.warn("cannot answer a request of the tunnel", { error: describeError(error) });
      return new Response("see the log of edgecore\n", { status: 500 });
    }
  }

  async #figuresAt(path: string): Promise<string | undefined> {
    const part = /^\/metrics(?:\/([a-z]+))?$/.exec(path);
    return part ? this.#options.figures(part[1] ?? "") : undefined;
  }

  #parts(): Parameters<typeof answerKubeletRequest>[0] {
    const { clock, log } = this.#options;
    return {
      findPod: (namespace, name) => this.#findPod(namespace, name),
      ask: (_node, request, signal) => this.#ask(podStreamHead(request), signal),
      // edged bounds what the node serves to all together.
      seat: () => new DisposableStack(),
      connected: ({ what, pod: { target }, container }) =>
        log.info("a user of the cloud is connected to a pod", { what, ...target, container }),
      failed: (error) => log.debug("a stream to a pod has failed", { error: describeError(error) }),
      clock,
    };
  }

  async #findPod(namespace: string, name: string): Promise<JsonObject> {
    const pods = await this.#options.listPods();
    const pod = pods.find(({ metadata }) => metadata.name === name && metadata.namespace === namespace);
    if (!pod) throw refusePod.notFound("pod does not exist");
    // An object of the database, which is JSON.
    return pod as unknown as JsonObject;
  }

  async #ask(head: ReturnType<typeof podStreamHead>, signal: AbortSignal): Promise<NodeEnd> {
    const stream = openLocalStream(head, (far) => {
      this.#options.serve(far).catch((error: unknown) => far.reset(describeError(error)));
    });
    return { stream, fromNode: await askPod(stream, signal) };
  }
}

/** A socket for `node:http`, whose first bytes are the head of the request. */
function duplexOf({ method, path, headers }: KubeletRequest, connection: TunnelConnection): Duplex {
  const fields = [["Host", "127.0.0.1"], ...headers].map(([name, value]) => `${name}: ${value}\r\n`);
  const reader = connection.readable.getReader();
  const writer = connection.writable.getWriter();
  writer.closed.catch(() => undefined);
  const done = (callback: (error?: Error | null) => void) => (error?: unknown) =>
    callback(error instanceof Error ? error : null);
  let isBegun = false;
  const next = async (): Promise<Uint8Array | null> => {
    if (isBegun) return (await reader.read()).value ?? null;
    isBegun = true;
    return Buffer.from(`${method} ${path} HTTP/1.1\r\n${fields.join("")}\r\n`);
  };
  const duplex = new Duplex({
    read: () =>
      void next().then(
        (bytes) => duplex.push(bytes),
        (error: unknown) => duplex.destroy(error instanceof Error ? error : undefined),
      ),
    write: (bytes: Uint8Array, _encoding, callback) =>
      void writer.write(bytes).then(done(callback), done(callback)),
    final: (callback) => void writer.close().then(done(callback), done(callback)),
    destroy: (error, callback) => {
      connection.destroy();
      callback(error);
    },
  });
  return duplex;
}
