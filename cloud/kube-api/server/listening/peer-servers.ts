import type { Peer } from "#cloud/kube-api/auth";
import type { Clock } from "#shared/clock";
import { socketPath } from "#shared/connections";
import type { UpgradeServer } from "#shared/upgrades";
import { serveOnSocket, type PeerPlace } from "./listener.ts";
import type { HttpHandler } from "./served.ts";

/** Servers without a connection that are kept for the next one of their peer: kubectl opens one for each command. */
const mostIdle = 16;

interface PeerServer {
  readonly path: string;
  readonly server: UpgradeServer;
  readonly place: Disposable;
  connections: number;
}

/**
 * One HTTP server for each peer with a client certificate. Requests arrive decrypted, and many of them over one connection: who
 * they are from is what their server is for, and cannot be mistaken.
 */
export class PeerServers implements AsyncDisposable {
  readonly #dataDir: string;
  readonly #fetch: HttpHandler;
  readonly #clock: Clock;
  /** The one that was used longest ago first. */
  readonly #servers = new Map<string, PeerServer>();
  readonly #stopping = new Set<Promise<void>>();
  #made = 0;

  constructor(dataDir: string, fetch: HttpHandler, clock: Clock) {
    this.#dataDir = dataDir;
    this.#fetch = fetch;
    this.#clock = clock;
  }

  /** A connection of a peer, until disposed. */
  open(peer: Peer): PeerPlace {
    const server = this.#servers.get(peer.id) ?? this.#start(peer);
    this.#servers.delete(peer.id);
    this.#servers.set(peer.id, server);
    server.connections += 1;
    let isOpen = true;
    return {
      path: server.path,
      [Symbol.dispose]: () => {
        if (isOpen) server.connections -= 1;
        isOpen = false;
        this.#stopIdle();
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const [id, server] of this.#servers) this.#stop(id, server);
    await Promise.all(this.#stopping);
  }

  #start(peer: Peer): PeerServer {
    this.#made += 1;
    const place = socketPath(this.#dataDir, `api-${this.#made}.sock`);
    const answer: HttpHandler = (request, server) => {
      const { offer } = server;
      const timeout = (slow: Request, seconds: number): void => server.timeout(slow, seconds);
      return this.#fetch(request, { timeout, peer, ...(offer && { offer }) });
    };
    try {
      const server = serveOnSocket(place.path, answer, this.#clock);
      return { path: place.path, server, place, connections: 0 };
    } catch (error) {
      place[Symbol.dispose]();
      throw error;
    }
  }

  #stopIdle(): void {
    const idle = [...this.#servers].filter(([, { connections }]) => connections === 0);
    for (const [id, server] of idle.slice(0, Math.max(0, idle.length - mostIdle))) this.#stop(id, server);
  }

  #stop(id: string, { server, place }: PeerServer): void {
    this.#servers.delete(id);
    const stopped = server.stop(true).finally(() => {
      place[Symbol.dispose]();
      this.#stopping.delete(stopped);
    });
    this.#stopping.add(stopped);
  }
}
