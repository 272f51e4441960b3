import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import type { PeerCertificate } from "#cloud/cloud-hub/node-access";
import { refuseUpgrade } from "#cloud/cloud-hub/sessions";
import type { Clock } from "#shared/clock";
import { UnavailableError } from "#shared/errors";
import { kubeletService, KubeletTunnel } from "#shared/kubelet-tunnel";
import type { Logger } from "#shared/log";
import { podService } from "#shared/pod-streams";
import { openLocalStream, type ByteStream, type StreamHead } from "#shared/streams";
import { WebSocketTransport } from "#shared/transport";
import { serveKubeletByTunnel, servePodByTunnel } from "./tunnelled-pods.ts";

/** What a stream to a node may be for. */
const services: ReadonlyMap<string, typeof servePodByTunnel> = new Map([
  [podService, servePodByTunnel],
  [kubeletService, serveKubeletByTunnel],
]);

/** A node whose tunnel may be served. */
export interface TunnelPeer {
  readonly node: string;
  readonly peer: PeerCertificate;
}

export interface TunnelsOptions {
  /** Decides by name, certificate and record who may open the tunnel of which node. */
  readonly admit: (request: IncomingMessage) => Promise<TunnelPeer | RefusedTunnel>;
  /** Why a node that was admitted may not stay. */
  readonly refused: (tunnel: TunnelPeer) => Promise<string | undefined>;
  readonly clock: Clock;
  readonly log: Logger;
}

interface RefusedTunnel {
  readonly code: number;
  readonly text: string;
}

interface Open {
  readonly by: TunnelPeer;
  readonly tunnel: KubeletTunnel;
  /** Settles when its WebSocket is closed. */
  readonly gone: Promise<unknown>;
  readonly terminate: () => void;
}

const tunnelPath = "/v1/kubeedge/connect";
/** KubeEdge's own limit; its nodes send 256 bytes at a time. */
const largestFrame = 1024 * 1024;
/** As many as a link has streams. */
const mostConnections = 256;
/** A node of KubeEdge pings every 5 s: one that is silent so long is gone. */
const silentMs = 60_000;
const sweepMs = 10_000;
/** For the closing handshakes at shutdown. */
const drainMs = 1_000;

/** The tunnels that nodes of KubeEdge have opened (`modules.edgeStream`), one of each node: the newest. */
export class Tunnels implements AsyncDisposable {
  readonly #options: TunnelsOptions;
  readonly #open = new Map<string, Open>();
  readonly #heardMs = new WeakMap<Open, number>();
  readonly #sweep: Disposable;
  readonly #server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: largestFrame,
    // Text frames have bytes of any kind.
    skipUTF8Validation: true,
  });
  #lastId = 0;
  #isClosed = false;

  constructor(options: TunnelsOptions) {
    this.#options = options;
    this.#sweep = options.clock.every(sweepMs, () => this.#endSilent());
  }

  /** Takes over a request to become a tunnel, or answers why not. Resolves whether it took it over. */
  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<boolean> {
    const found = await this.#admit(request);
    if (socket.destroyed) return false;
    if ("code" in found) {
      refuseUpgrade(socket, found);
      return false;
    }
    this.#server.handleUpgrade(request, socket, head, (webSocket) =>
      this.#accept(found, new WebSocketTransport(webSocket)),
    );
    return true;
  }

  /** Answers a request that wants no tunnel. */
  answer(response: ServerResponse): void {
    response
      .writeHead(404, { "content-type": "text/plain", connection: "close" })
      .end("nodes of KubeEdge open tunnels here\n");
  }

  /** @throws UnavailableError when the node has no tunnel, or the tunnel does not serve such streams */
  openStream(node: string, head: StreamHead): ByteStream {
    const open = this.#open.get(node);
    const what = `Cannot open a stream to node "${node}"`;
    if (!open)
      throw new UnavailableError(
        "no-streams",
        `${what}: its edgecore has neither streams nor a tunnel (modules.edgeStream)`,
      );
    const serve = services.get(head.service);
    if (!serve)
      throw new UnavailableError("no-streams", `${what}: its edgecore has a tunnel to its kubelet alone`);
    const { tunnel } = open;
    const { clock } = this.#options;
    return openLocalStream(head, (stream) => void serve({ stream, tunnel, clock }));
  }

  /** The admission of a node may have changed: it is decided again. */
  async review(node: string): Promise<void> {
    const open = this.#open.get(node);
    const reason = open && (await this.#options.refused(open.by));
    if (reason !== undefined) open?.tunnel.close(reason);
  }

  close(node: string, reason: string): void {
    this.#open.get(node)?.tunnel.close(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#sweep[Symbol.dispose]();
    const all = [...this.#open.values()];
    for (const { tunnel } of all) tunnel.close("cloudcore shuts down");
    const late = Promise.withResolvers<void>();
    using _timer = this.#options.clock.after(drainMs, late.resolve);
    await Promise.race([Promise.all(all.map(({ gone }) => gone)), late.promise]);
    for (const { terminate } of all) terminate();
    this.#server.close();
  }

  async #admit(request: IncomingMessage): Promise<TunnelPeer | RefusedTunnel> {
    if (this.#isClosed) return { code: 503, text: "cloudcore shuts down" };
    if (request.url?.split("?")[0] !== tunnelPath)
      return { code: 404, text: "nodes of KubeEdge open tunnels here" };
    return this.#options.admit(request);
  }

  #accept(by: TunnelPeer, transport: WebSocketTransport): void {
    const { clock, log } = this.#options;
    const { node } = by;
    const tunnel = new KubeletTunnel({
      transport,
      clock,
      mostConnections,
      // Of all tunnels: what a node that connects again may still send of an old connection belongs to none.
      nextId: () => (this.#lastId += 1),
      onPing: () => this.#heardMs.set(open, clock.monotonicMs()),
    });
    const open: Open = { by, tunnel, gone: transport.closed, terminate: () => transport.terminate() };
    this.#heardMs.set(open, clock.monotonicMs());
    const before = this.#open.get(node);
    this.#open.set(node, open);
    before?.tunnel.close("the node has opened another tunnel");
    if (this.#isClosed) return tunnel.close("cloudcore shuts down");
    log.info("a node has opened its tunnel", { node });
    // Something may have changed between the admission and now.
    void this.review(node);
    void tunnel.closed.then((reason) => {
      if (this.#open.get(node) !== open) return;
      this.#open.delete(node);
      log.info("the tunnel of a node is closed", { node, reason });
    });
  }

  #endSilent(): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const open of this.#open.values())
      if (nowMs - (this.#heardMs.get(open) ?? nowMs) > silentMs && !open.tunnel.isPaused) open.terminate();
  }
}
