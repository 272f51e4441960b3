import type { IncomingMessage } from "node:http";
import { WebSocket, type RawData } from "ws";
import type { Clock } from "#shared/clock";
import { ConfigError, describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import { answersAllHeader, closeCodes, databaseHeader } from "#shared/wire";
import { EnrolRefused, explainConnectError, type Credentials } from "#edge/edge-hub/enrolment";
import { stepLink, type LinkEffect, type LinkEvent, type LinkState } from "./link-machine.ts";
import { explainRefusal } from "./refusal.ts";

/** What the peer said of itself in the handshake. */
export interface LinkPeer {
  /** It promises to answer every message. */
  readonly answersAll: boolean;
  /** the name of its database, where it says so */
  readonly database: string | undefined;
}

export interface LinkOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly handshakeTimeoutMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told before each dial; undefined: there is nothing to dial with now. */
  readonly credentials: () => Promise<Credentials | undefined>;
  readonly onUp: (peer: LinkPeer) => void;
  readonly onDown: (reason: string) => void;
  readonly onFrame: (frame: string) => void;
  /** The peer has read everything written before `ping(mark)`. */
  readonly onPong: (mark: string) => void;
  /** The peer does not accept the certificate. */
  readonly onRefused: () => void;
}

const pingEveryMs = 5000;
const largestFrame = 64 * 1024 * 1024;
const silentPeer: LinkPeer = { answersAll: false, database: undefined };
/** Written and not yet taken by the socket: past this a sender has to wait. */
const fullBytes = 4 * 1024 * 1024;
/** Files that are missing may be put there, e.g. by an operator who restores them. */
const emptyHandedMs = 10_000;
/** The cloud said not to come back at once. */
const refusedMs = 60_000;
/** Two edgecores with one name take the place from each other: each time one waits for longer. */
const duplicateMs = { first: 30_000, most: 300_000, forgottenAfter: 900_000 } as const;

/** Keeps one WebSocket to the cloud up: dials, watches for silence, dials again. Never gives up while it may dial. */
export class Link implements Disposable {
  readonly #options: LinkOptions;
  #state: LinkState = { kind: "waiting", attempt: 0 };
  #socket: WebSocket | undefined;
  #retryAfterMs: number | undefined;
  #failure: string | undefined;
  #peer: LinkPeer = silentPeer;
  #told = "";
  #heardMs = 0;
  #duplicates = 0;
  #openedMs = 0;
  readonly #timers = new Set<Disposable>();
  #ticker: Disposable | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  start(): void {
    this.#ticker = this.#options.clock.every(pingEveryMs, () =>
      this.#step({ kind: "tick", silentMs: this.#options.clock.monotonicMs() - this.#heardMs }),
    );
    this.#step({ kind: "due" });
  }

  get up(): boolean {
    return this.#state.kind === "up";
  }

  /** Whether more may be sent now without filling the memory. */
  get ready(): boolean {
    return this.up && (this.#socket?.bufferedAmount ?? 0) < fullBytes;
  }

  /** @returns false when there is no link */
  send(frame: string): boolean {
    if (!this.up || this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(frame);
    return true;
  }

  ping(mark: string): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.ping(mark);
  }

  /** Hangs up and dials again, e.g. with a new certificate. */
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
        this.#told = "";
        this.#options.onUp(this.#peer);
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
      else this.#step({ kind: "closed", reason: "nothing to dial with", retryAfterMs: emptyHandedMs });
    } catch (error) {
      const reason = describeError(error);
      this.#tell(reason, error instanceof ConfigError);
      const retryAfterMs = error instanceof EnrolRefused ? error.retryAfterMs : undefined;
      this.#step({ kind: "closed", reason, retryAfterMs });
    }
  }

  #open(credentials: Credentials): void {
    const { url, headers, handshakeTimeoutMs, clock, onFrame, onPong } = this.#options;
    const socket = new WebSocket(url, {
      ...credentials,
      headers,
      handshakeTimeout: handshakeTimeoutMs,
      perMessageDeflate: false,
      maxPayload: largestFrame,
    });
    this.#socket = socket;
    this.#heardMs = clock.monotonicMs();
    const heard = (): boolean => {
      this.#heardMs = clock.monotonicMs();
      return this.#socket === socket;
    };
    socket.on("upgrade", ({ headers: answer }) => (this.#peer = peerOf(answer)));
    socket.on("open", () => {
      if (!heard()) return;
      this.#openedMs = clock.monotonicMs();
      this.#step({ kind: "opened" });
    });
    socket.on("message", (data) => heard() && onFrame(frameText(data)));
    socket.on("pong", (data) => heard() && onPong(String(data)));
    socket.on("ping", heard);
    socket.on("unexpected-response", (_request, response) => void this.#refused(socket, response));
    socket.on("error", (error) => {
      this.#failure ??= explainConnectError(new URL(url).host, error).message;
    });
    socket.on("close", (code, reason) => {
      if (this.#socket === socket) this.#heed(code, String(reason));
      this.#gone(socket, `closed by the peer: ${code} ${String(reason)}`.trim());
    });
  }

  async #refused(socket: WebSocket, response: IncomingMessage): Promise<void> {
    const { clock } = this.#options;
    const why = await explainRefusal(response, clock);
    if (this.#socket !== socket) return;
    this.#failure = why;
    this.#retryAfterMs = retryAfterMs(response.headers["retry-after"], clock.nowMs());
    if (response.statusCode === 401 || response.statusCode === 403) this.#options.onRefused();
    socket.terminate();
    this.#gone(socket, why);
  }

  /** What the code of a close frame means for dialing again. */
  #heed(code: number, reason: string): void {
    const { clock, log } = this.#options;
    if (code === closeCodes.refused) {
      this.#retryAfterMs = refusedMs;
      log.error("cloudcore closed the link and refuses this node", { reason });
    }
    if (code !== closeCodes.duplicate) return;
    const held = clock.monotonicMs() - this.#openedMs;
    this.#duplicates = held > duplicateMs.forgottenAfter ? 0 : this.#duplicates;
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
    const socket = this.#socket;
    if (!socket) return;
    this.#failure = reason;
    socket.terminate();
    this.#gone(socket, reason);
  }

  /** Once a socket: whoever comes second finds another one, or none. */
  #gone(socket: WebSocket, reason: string): void {
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    const why = this.#failure ?? reason;
    if (this.#state.kind !== "ended") this.#tell(why, false);
    this.#step({ kind: "closed", reason: why, retryAfterMs: this.#retryAfterMs });
  }

  /** The same failure again and again is one line. */
  #tell(reason: string, mustAct: boolean): void {
    const { log } = this.#options;
    if (reason === this.#told) log.debug("no link to the cloud", { reason });
    else if (mustAct) log.error("cannot join the cloud, trying again", { reason });
    else log.warn("no link to the cloud, trying again", { reason });
    this.#told = reason;
  }
}

function peerOf(headers: IncomingMessage["headers"]): LinkPeer {
  const name = headers[databaseHeader];
  const database = typeof name === "string" && /^[\w-]{1,64}$/.test(name) ? name : undefined;
  return { answersAll: headers[answersAllHeader] === "true", database };
}

/** Text frames are strings on Bun and buffers elsewhere. */
function frameText(data: RawData | string): string {
  if (typeof data === "string") return data;
  return Array.isArray(data)
    ? Buffer.concat(data).toString("utf8")
    : Buffer.from(data as Buffer).toString("utf8");
}

/** Retry-After in seconds or as a date. */
function retryAfterMs(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - nowMs;
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}
