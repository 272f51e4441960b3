import type { IncomingMessage } from "node:http";
import { WebSocket } from "ws";
import { closePurpose, readPeer, silentPeer, type CloudPeer } from "#edge/edge-hub/codec";
import { EnrolRefused, explainConnectError, type LinkCredentials } from "#edge/edge-hub/enrollment";
import type { Clock } from "#shared/clock";
import { ConfigError, describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import { WebSocketTransport, type FrameTransport, type TransportClosed } from "#shared/transport";
import { stepLink, type LinkEffect, type LinkEvent, type LinkState } from "./link-machine.ts";
import { explainRefusal, retryAfterMs } from "./refusal.ts";

export interface LinkOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly handshakeTimeoutMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called before each dial; undefined: there is nothing to dial with now. */
  readonly credentials: () => Promise<LinkCredentials | undefined>;
  /** `transport` carries frames of streams until `onDown`. */
  readonly onUp: (peer: CloudPeer, transport: FrameTransport) => void;
  readonly onDown: (reason: string) => void;
  readonly onText: (frame: string) => void;
  readonly onBinary: (frame: Uint8Array) => void;
  /** The peer has read everything written before `ping(mark)`. */
  readonly onPong: (mark: string) => void;
  /** The peer does not accept the certificate. */
  readonly onRefused: () => void;
}

/** Less than half of the silence after which the link counts as dead: one lost ping does not end it. */
const pingEveryMs = 5000;
/** Twice the largest message that our cloud sends, for JSON that another one writes less compactly. */
const largestFrameBytes = 64 * 1024 * 1024;
/** Written and not yet taken by the socket: past this a sender has to wait (backpressure). */
const fullBytes = 4 * 1024 * 1024;
/** Certificate files that are missing may be put there, e.g. by an operator who restores them. */
const noCredentialsRetryMs = 10_000;
/** The cloud asked not to come back at once. */
const refusedRetryMs = 60_000;
/** Two edgecores with one name evict each other: each time they wait twice as long, until a link held for `forgottenAfter`. */
const duplicateMs = { first: 30_000, most: 300_000, forgottenAfter: 900_000 } as const;

/** Keeps one connection to the cloud up: dials, watches for silence, reconnects. Retries as long as it may dial. */
export class Link implements Disposable {
  readonly #options: LinkOptions;
  #state: LinkState = { kind: "waiting", attempt: 0 };
  #transport: FrameTransport | undefined;
  #retryAfterMs: number | undefined;
  #failure: string | undefined;
  #peer: CloudPeer = silentPeer;
  #loggedReason = "";
  #lastByteMs = 0;
  #duplicates = 0;
  #openedMs = 0;
  readonly #timers = new Set<Disposable>();
  #ticker: Disposable | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  start(): void {
    this.#ticker = this.#options.clock.every(pingEveryMs, () =>
      this.#step({ kind: "tick", silentMs: this.#options.clock.monotonicMs() - this.#lastByteMs }),
    );
    this.#step({ kind: "due" });
  }

  get up(): boolean {
    return this.#state.kind === "up";
  }

  /** Whether more may be sent now without filling the memory. */
  get ready(): boolean {
    return this.up && (this.#transport?.bufferedAmount ?? 0) < fullBytes;
  }

  /** @returns false when there is no link */
  send(frame: string): boolean {
    if (!this.up || !this.#transport?.isOpen) return false;
    this.#transport.send(frame);
    return true;
  }

  ping(mark: string): void {
    if (this.#transport?.isOpen) this.#transport.ping(mark);
  }

  /** Closes the link and dials again, e.g. with a new certificate. */
  redial(reason: string): void {
    if (this.up) this.#drop(reason);
  }

  [Symbol.dispose](): void {
    this.#step({ kind: "stop" });
    this.#ticker?.[Symbol.dispose]();
    for (const timer of this.#timers) timer[Symbol.dispose]();
    this.#timers.clear();
  }

  #step(event: LinkEvent): void {
    const { clock } = this.#options;
    const { state, effects } = stepLink(this.#state, event, {
      nowMs: clock.monotonicMs(),
      random: clock.random(),
    });
    this.#state = state;
    for (const effect of effects) this.#do(effect);
  }

  #do(effect: LinkEffect): void {
    switch (effect.kind) {
      case "dial":
        void this.#dial();
        break;
      case "wait":
        this.#wait(effect.ms);
        break;
      case "up":
        this.#loggedReason = "";
        this.#options.log.info("link to the cloud is up", { url: this.#options.url });
        if (this.#transport) this.#options.onUp(this.#peer, this.#transport);
        break;
      case "down":
        this.#options.onDown(effect.reason);
        break;
      case "ping":
        this.ping("alive");
        break;
      case "drop":
        this.#drop(effect.reason);
        break;
    }
  }

  #wait(ms: number): void {
    const timer = this.#options.clock.after(ms, () => {
      this.#timers.delete(timer);
      this.#step({ kind: "due" });
    });
    this.#timers.add(timer);
  }

  async #dial(): Promise<void> {
    const { credentials } = this.#options;
    this.#failure = undefined;
    this.#retryAfterMs = undefined;
    this.#peer = silentPeer;
    try {
      const found = await credentials();
      if (this.#state.kind !== "dialing") return;
      if (found) this.#open(found);
      else this.#step({ kind: "closed", reason: "no credentials", retryAfterMs: noCredentialsRetryMs });
    } catch (error) {
      const reason = describeError(error);
      this.#logFailure(reason, error instanceof ConfigError);
      const retryMs = error instanceof EnrolRefused ? error.retryAfterMs : undefined;
      this.#step({ kind: "closed", reason, retryAfterMs: retryMs });
    }
  }

  #open(credentials: LinkCredentials): void {
    const { url, headers, handshakeTimeoutMs, clock } = this.#options;
    const socket = new WebSocket(url, {
      ...credentials,
      headers,
      handshakeTimeout: handshakeTimeoutMs,
      perMessageDeflate: false,
      maxPayload: largestFrameBytes,
    });
    const transport = new WebSocketTransport(socket);
    this.#transport = transport;
    this.#lastByteMs = clock.monotonicMs();
    socket.on("upgrade", ({ headers: answer }) => (this.#peer = readPeer(answer)));
    socket.on("open", () => {
      if (!this.#isAlive(transport)) return;
      this.#openedMs = clock.monotonicMs();
      this.#step({ kind: "opened" });
    });
    socket.on("unexpected-response", (_request, response) => void this.#refused(transport, response));
    this.#listen(transport);
    void transport.closed.then((closed) => {
      if (this.#transport === transport) this.#heedClose(closed);
      this.#ended(transport, `closed by the peer: ${closed.code} ${closed.reason}`.trim());
    });
  }

  #listen(transport: FrameTransport): void {
    const { url, onText, onBinary, onPong } = this.#options;
    transport.listen({
      onText: (frame) => this.#isAlive(transport) && onText(frame),
      onBinary: (frame) => this.#isAlive(transport) && onBinary(frame),
      onPing: () => void this.#isAlive(transport),
      onPong: (mark) => this.#isAlive(transport) && onPong(mark),
      onError: (error) => {
        if (this.#transport === transport)
          this.#failure ??= explainConnectError(new URL(url).host, error).message;
      },
    });
  }

  /** Notes that the peer sent something. @returns whether the connection is the present one */
  #isAlive(transport: FrameTransport): boolean {
    this.#lastByteMs = this.#options.clock.monotonicMs();
    return this.#transport === transport;
  }

  async #refused(transport: FrameTransport, response: IncomingMessage): Promise<void> {
    const { clock } = this.#options;
    const reason = await explainRefusal(response, clock);
    if (this.#transport !== transport) return;
    this.#failure = reason;
    this.#retryAfterMs = retryAfterMs(response.headers["retry-after"], clock.nowMs());
    if (response.statusCode === 401 || response.statusCode === 403) this.#options.onRefused();
    transport.terminate();
    this.#ended(transport, reason);
  }

  /** What the code of a close frame means for dialing again. */
  #heedClose({ code, reason }: TransportClosed): void {
    const { clock, log } = this.#options;
    const purpose = closePurpose(code);
    if (purpose === "refused") {
      this.#retryAfterMs = refusedRetryMs;
      log.error("cloudcore closed the link and refuses this node", { reason });
    }
    if (purpose !== "duplicate") return;
    const heldMs = clock.monotonicMs() - this.#openedMs;
    this.#duplicates = heldMs > duplicateMs.forgottenAfter ? 0 : this.#duplicates;
    const ms = Math.min(duplicateMs.most, duplicateMs.first * 2 ** this.#duplicates);
    this.#duplicates = Math.min(this.#duplicates + 1, 10);
    this.#retryAfterMs = Math.round(ms * (1 + clock.random() / 4));
    log.error(
      "another edgecore runs under the name and with the certificate of this node: stop one of them",
      {
        reason,
        retryInSeconds: Math.round(this.#retryAfterMs / 1000),
      },
    );
  }

  #drop(reason: string): void {
    const transport = this.#transport;
    if (!transport) return;
    this.#failure = reason;
    transport.terminate();
    this.#ended(transport, reason);
  }

  /** Takes effect once for each connection. */
  #ended(transport: FrameTransport, reason: string): void {
    if (this.#transport !== transport) return;
    this.#transport = undefined;
    const cause = this.#failure ?? reason;
    if (this.#state.kind !== "ended") this.#logFailure(cause, false);
    this.#step({ kind: "closed", reason: cause, retryAfterMs: this.#retryAfterMs });
  }

  /** The same failure again is logged once. */
  #logFailure(reason: string, needsOperator: boolean): void {
    const { log } = this.#options;
    if (reason === this.#loggedReason) log.debug("no link to the cloud", { reason });
    else if (needsOperator) log.error("cannot join the cloud, retrying", { reason });
    else log.warn("no link to the cloud, retrying", { reason });
    this.#loggedReason = reason;
  }
}
