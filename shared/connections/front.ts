import type { Clock } from "#shared/clock";
import type { ConnectionBudget, Place } from "./budget.ts";
import { Pipe } from "./pipe.ts";

/** A certificate that a client showed in its handshake, with the proof that it has the key. */
export interface ShownCertificate {
  readonly der: Uint8Array;
  /** Signed by the CA for clients, for clients, and valid now. */
  readonly isTrusted: boolean;
}

/** A connection with a certificate, until it is closed. */
export interface Guest extends Disposable {
  /** The Unix socket of the server that answers it instead. */
  readonly behind: string;
  /** Who it is; undefined as long as the head of its first request shows no one. */
  readonly proven: Proven | undefined;
}

interface Proven {
  readonly who: string;
  /** Connections that this one may have. */
  readonly most: number;
}

export interface FrontOptions {
  readonly address: string;
  /** 0 for any free one */
  readonly port: number;
  /** With a CA for clients they are asked for a certificate, and may do without. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa?: string | undefined };
  /** The Unix socket where the server behind listens. */
  readonly behind: string;
  /** Called for each connection with a certificate; undefined: it is treated as one without. */
  readonly meet?: ((certificate: ShownCertificate) => Guest | undefined) | undefined;
  readonly budget: Pick<ConnectionBudget, "admit">;
  readonly clock: Clock;
  /**
   * Who the head of a connection's first request shows to be speaking, and how many connections that one may have;
   * undefined: not authenticated.
   */
  readonly identify: (head: string) => Proven | undefined;
}

export interface Front extends AsyncDisposable {
  readonly port: number;
  /** Admits no more; those who are there stay. */
  stopListening(): void;
}

/** Until the first request's head is there, TLS handshake included. */
const headMs = 10_000;
/** Far more than headers with a token need; a peer that sends more is cut off before the server sees it. */
const longestHead = 64 * 1024;
const endOfHead = "\r\n\r\n";
/** Idle time of a client that is not authenticated. */
const unprovenIdleMs = 15_000;
/** A peer that takes nothing for so long is gone. */
const stallMs = 120_000;
const sweepMs = 5_000;
const keepaliveMs = 60_000;
/** A connection to the server behind has two ends, both in this process. */
const socketsBehind = 2;

/**
 * Listens before an HTTP server that cannot count its connections: admits them by a budget, waits for the first head of each
 * for so long, and only then connects it to the server behind.
 */
export function openFront(options: FrontOptions): Front {
  const connections = new Set<Connection>();
  const listener = Bun.listen<Connection | undefined>({
    hostname: options.address,
    port: options.port,
    ...(options.tls && { tls: tlsOf(options.tls) }),
    data: undefined,
    socket: {
      open: (socket) => {
        const place = options.budget.admit(socket.remoteAddress, () => socket.terminate());
        if (!place) return socket.terminate();
        socket.data = new Connection(socket, place, options);
        connections.add(socket.data);
      },
      // With it Bun reports a connection before its TLS handshake, not after.
      handshake: (socket, succeeded) => {
        if (!succeeded) return socket.terminate();
        const certificate = options.meet && shownBy(socket);
        if (certificate) socket.data?.meet(certificate);
      },
      data: (socket, bytes) => socket.data?.receive(bytes),
      drain: (socket) => socket.data?.drained(),
      error: (socket) => socket.terminate(),
      close: (socket) => {
        if (!socket.data) return;
        connections.delete(socket.data);
        socket.data.closed();
      },
    },
  });
  const sweeper = options.clock.every(sweepMs, () => {
    const nowMs = options.clock.monotonicMs();
    for (const connection of connections) connection.look(nowMs);
  });
  return {
    port: listener.port,
    stopListening: () => listener.stop(false),
    [Symbol.asyncDispose]: async () => {
      sweeper[Symbol.dispose]();
      listener.stop(true);
      for (const connection of connections) connection.end();
    },
  };
}

function tlsOf({ cert, key, clientCa }: NonNullable<FrontOptions["tls"]>): Bun.TLSOptions {
  return {
    cert,
    key,
    ...(clientCa !== undefined && { ca: clientCa, requestCert: true, rejectUnauthorized: false }),
  };
}

/** The proof that the client has the key is part of the handshake, for a certificate of any CA. */
function shownBy(socket: ClientSocket): ShownCertificate | undefined {
  // Undefined without one, although its type has no such value.
  const certificate = socket.getPeerX509Certificate() as { readonly raw: Uint8Array } | undefined;
  return certificate && { der: certificate.raw, isTrusted: socket.authorized };
}

type ClientSocket = Bun.Socket<Connection | undefined>;
type BackSocket = Bun.Socket;

/** One client, and the server behind once its first head is there. */
class Connection {
  readonly #client: ClientSocket;
  readonly #place: Place;
  readonly #options: FrontOptions;
  readonly #toClient: Pipe;
  #toBack: Pipe | undefined;
  #back: BackSocket | undefined;
  #guest: Guest | undefined;
  /** What came before the server behind was there. */
  #early: Buffer[] = [];
  #earlyBytes = 0;
  /** The end of what was looked through: the end of the head may begin in it. */
  #tail: Buffer = Buffer.alloc(0);
  #dialled = false;
  #proven = false;
  #ending = false;
  #closed = false;
  #activeMs: number;
  readonly #sinceMs: number;

  constructor(client: ClientSocket, place: Place, options: FrontOptions) {
    this.#client = client;
    this.#place = place;
    this.#options = options;
    this.#toClient = new Pipe(client, options.clock);
    this.#sinceMs = options.clock.monotonicMs();
    this.#activeMs = this.#sinceMs;
  }

  /** Its certificate is known, and no request is there yet. */
  meet(certificate: ShownCertificate): void {
    this.#guest = this.#options.meet?.(certificate);
    const proven = this.#guest?.proven;
    if (proven) this.#prove(proven);
  }

  receive(bytes: Buffer): void {
    this.#activeMs = this.#options.clock.monotonicMs();
    if (this.#toBack) return this.#toBack.write(bytes, this.#client);
    this.#early.push(Buffer.from(bytes));
    this.#earlyBytes += bytes.length;
    if (!this.#dialled) this.#readHead(bytes);
    else if (this.#earlyBytes > longestHead) this.#client.pause();
  }

  drained(): void {
    this.#toClient.drain();
    if (this.#ending && this.#toClient.isEmpty) this.#client.end();
  }

  closed(): void {
    this.#closed = true;
    this.#place.leave();
    this.#early = [];
    this.#back?.end();
    this.#guest?.[Symbol.dispose]();
  }

  end(): void {
    this.#client.terminate();
  }

  /** Ends it when it has had its time. */
  look(nowMs: number): void {
    const idleMs = nowMs - this.#activeMs;
    const late = !this.#dialled && nowMs - this.#sinceMs >= headMs;
    const idle = !this.#proven && this.#dialled && idleMs >= unprovenIdleMs;
    const stalledMs = Math.max(this.#toClient.stalledMs(nowMs), this.#toBack?.stalledMs(nowMs) ?? 0);
    if (late || idle || stalledMs >= stallMs || (this.#ending && stalledMs >= headMs))
      this.#client.terminate();
  }

  /** Looks at the new bytes only: a head may come byte by byte. */
  #readHead(fresh: Buffer): void {
    const seen = Buffer.concat([this.#tail, fresh]);
    const ends = seen.includes(endOfHead);
    this.#tail = seen.subarray(1 - endOfHead.length);
    if (!ends && this.#earlyBytes < longestHead) return;
    const bytes = Buffer.concat(this.#early);
    this.#early = [bytes];
    const end = bytes.indexOf(endOfHead);
    const reads = end >= 0 && !this.#proven;
    const proven = reads ? this.#options.identify(bytes.toString("latin1", 0, end)) : undefined;
    if (proven && !this.#prove(proven)) return;
    this.#dial();
  }

  /** @returns false when that one has too many connections: this one is closed */
  #prove({ who, most }: Proven): boolean {
    if (!this.#place.prove(who, most)) {
      this.#client.terminate();
      return false;
    }
    this.#proven = true;
    this.#client.setKeepAlive(true, keepaliveMs);
    return true;
  }

  #dial(): void {
    this.#dialled = true;
    if (!this.#place.grow(socketsBehind)) return this.#client.terminate();
    const failed = (): void => this.#client.terminate();
    void Bun.connect({
      unix: this.#guest?.behind ?? this.#options.behind,
      data: undefined,
      socket: {
        open: (back) => this.#connected(back),
        data: (back, bytes) => {
          this.#activeMs = this.#options.clock.monotonicMs();
          this.#toClient.write(bytes, back);
        },
        drain: () => this.#toBack?.drain(),
        close: () => this.#backClosed(),
        error: failed,
        connectError: failed,
      },
    }).catch(failed);
  }

  #connected(back: BackSocket): void {
    if (this.#closed) return void back.end();
    this.#back = back;
    this.#toBack = new Pipe(back, this.#options.clock);
    for (const bytes of this.#early) this.#toBack.write(bytes, this.#client);
    this.#early = [];
    if (this.#toBack.isEmpty) this.#client.resume();
  }

  /** What it sent is still delivered, if the client takes it. */
  #backClosed(): void {
    this.#ending = true;
    if (this.#toClient.isEmpty) this.#client.end();
  }
}
