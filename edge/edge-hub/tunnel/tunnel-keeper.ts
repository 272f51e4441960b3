import { WebSocket } from "ws";
import type { LinkCredentials } from "#edge/edge-hub/enrollment";
import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import { KubeletTunnel } from "#shared/kubelet-tunnel";
import { backoff } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { WebSocketTransport } from "#shared/transport";
import type { KubeletServer } from "./kubelet-server.ts";

export interface TunnelKeeperOptions {
  readonly url: string;
  readonly node: string;
  /** The address that this node reports, where it is configured; the cloud takes that of the connection otherwise. */
  readonly nodeIp: string | undefined;
  readonly handshakeTimeoutMs: number;
  readonly credentials: () => Promise<LinkCredentials | undefined>;
  readonly server: KubeletServer;
  readonly clock: Clock;
  readonly log: Logger;
}

/** KubeEdge's edgestream pings so often, and its cloud drops nothing earlier than TCP does. */
const pingMs = 5_000;
/** The tunnel of a cloud that answers no ping is dead. */
const silentMs = 30_000;
/** KubeEdge's cloud has no tunnels unless its cloudStream is enabled: it is asked seldom then. */
const retryMs = { firstMs: 2_000, capMs: 60_000 } as const;
/** KubeEdge's own limit of a message. */
const largestFrame = 1024 * 1024;
/** As many as edged serves streams. */
const mostConnections = 192;

/** Keeps the tunnel to a cloud of KubeEdge open while there is a link to it. */
export class TunnelKeeper implements AsyncDisposable {
  readonly #options: TunnelKeeperOptions;
  #attempt: AbortController | undefined;
  #running: Promise<void> = Promise.resolve();
  #loggedReason = "";

  constructor(options: TunnelKeeperOptions) {
    this.#options = options;
  }

  /** The cloud of the link has no streams: it reaches pods by the tunnel. */
  open(): void {
    this.close();
    const attempt = new AbortController();
    this.#attempt = attempt;
    this.#running = this.#running.then(() => this.#keep(attempt.signal));
  }

  close(): void {
    this.#attempt?.abort();
    this.#attempt = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.#running;
  }

  /** Never rejects. */
  async #keep(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    const waits = (): Generator<number, never> => backoff({ ...retryMs, random: () => clock.random() });
    let wait = waits();
    while (!signal.aborted) {
      const { reason, wasOpen } = await this.#dial(signal);
      if (signal.aborted) return;
      if (wasOpen) wait = waits();
      if (reason !== this.#loggedReason)
        log.info("no tunnel to the cloud: logs and commands of pods are not available there", { reason });
      this.#loggedReason = reason;
      await clock.sleep(wait.next().value, { signal }).catch(() => undefined);
    }
  }

  /** Resolves when the tunnel is over. */
  async #dial(signal: AbortSignal): Promise<{ readonly reason: string; readonly wasOpen: boolean }> {
    const { url, node, nodeIp, handshakeTimeoutMs, credentials, clock, log, server } = this.#options;
    const found = await credentials().catch(() => undefined);
    if (!found || signal.aborted) return { reason: "no credentials", wasOpen: false };
    const socket = new WebSocket(url, {
      ...found,
      headers: { SessionHostNameOverride: node, ...(nodeIp !== undefined && { SessionInternalIP: nodeIp }) },
      handshakeTimeout: handshakeTimeoutMs,
      perMessageDeflate: false,
      maxPayload: largestFrame,
      // Text frames have bytes of any kind.
      skipUTF8Validation: true,
    });
    const seen = { failure: "", wasOpen: false, heardMs: clock.monotonicMs() };
    const transport = new WebSocketTransport(socket);
    socket.on("error", (error) => (seen.failure ||= describeError(error)));
    socket.on("pong", () => (seen.heardMs = clock.monotonicMs()));
    socket.on("open", () => {
      seen.wasOpen = true;
      this.#loggedReason = "";
      log.info("the tunnel to the cloud is open", { url });
    });
    const tunnel = new KubeletTunnel({
      transport,
      clock,
      mostConnections,
      accept: (...asked) => server.serve(...asked),
    });
    const stop = (): void =>
      seen.wasOpen ? tunnel.close("edgecore closes the tunnel") : transport.terminate();
    signal.addEventListener("abort", stop, { once: true });
    using _ping = clock.every(pingMs, () => {
      if (clock.monotonicMs() - seen.heardMs > silentMs && !tunnel.isPaused) transport.terminate();
      else if (transport.isOpen) transport.ping("alive");
    });
    const reason = await tunnel.closed;
    signal.removeEventListener("abort", stop);
    transport.terminate();
    return { reason: seen.failure || reason, wasOpen: seen.wasOpen };
  }
}
