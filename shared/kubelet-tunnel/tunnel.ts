import type { Clock } from "#shared/clock";
import { ClosedError, describeError, UnavailableError } from "#shared/errors";
import type { TransportListener } from "#shared/transport";
import { encodeConnect, readConnect, type KubeletRequest } from "./connect.ts";
import { encodeTunnelFrame, readTunnelFrame, tunnelTypes, type TunnelFrame } from "./frame.ts";
import { TunnelConnection } from "./tunnel-connection.ts";

/** The WebSocket of a tunnel, whose text frames have bytes; a `WebSocketTransport` is one. */
export interface TunnelTransport {
  readonly isOpen: boolean;
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  listen(listener: TransportListener): void;
  sendAsText(frame: Uint8Array, written?: () => void): void;
  pause(): void;
  resume(): void;
  close(code: number, reason: string): void;
  terminate(): void;
}

/** What the cloud gets of an answer: all its bytes from the head on, in both directions; or its body alone. */
export type TunnelAnswer = "bytes" | "body";

export interface TunnelOptions {
  readonly transport: TunnelTransport;
  readonly clock: Pick<Clock, "after">;
  /** At the end of the node: serves a connection that the cloud opened. Only the cloud opens them. */
  readonly accept?: (request: KubeletRequest, connection: TunnelConnection, wants: TunnelAnswer) => void;
  /** At the end of the cloud: the number of its next connection. */
  readonly nextId?: () => number;
  readonly mostConnections: number;
  readonly onPing?: () => void;
}

/** How long one connection that is not read may hold up the others of its tunnel, which has no windows. */
const holdUpMs = 5_000;
/** WebSocket close codes (RFC 6455, 7.4.1). */
const protocolError = 1002;
const normalClosure = 1000;

/**
 * Connections to the kubelet of a node over the tunnel that it has opened, as KubeEdge's cloudstream and edgestream have them. A
 * tunnel has no flow control but that of its WebSocket: while one connection is not read nothing is read, and when others wait for
 * it too long it is ended.
 */
export class KubeletTunnel {
  /** Settles once, when the tunnel is over, with the reason; never rejects. */
  readonly closed: Promise<string>;
  readonly #options: TunnelOptions;
  readonly #connections = new Map<number, TunnelConnection>();
  /** Connections with more than they may have waiting. */
  readonly #full = new Map<TunnelConnection, Disposable>();
  #isOver = false;

  constructor(options: TunnelOptions) {
    this.#options = options;
    const { transport, onPing } = options;
    const over = Promise.withResolvers<string>();
    this.closed = over.promise;
    const receive = (frame: Uint8Array): void => {
      try {
        this.#receive(readTunnelFrame(frame), over.resolve);
      } catch (error) {
        transport.close(protocolError, describeError(error).slice(0, 100));
      }
    };
    transport.listen({
      onText: (text) => receive(Buffer.from(text)),
      onTextBytes: receive,
      // A copy: the bytes belong to the transport.
      onBinary: (bytes) => receive(new Uint8Array(bytes)),
      ...(onPing && { onPing }),
      onError: () => undefined,
    });
    void transport.closed.then(({ code, reason }) => {
      const why = reason === "" ? `the tunnel is lost (${code})` : reason;
      over.resolve(why);
      this.#end(why);
    });
  }

  /** Nothing is read, as a connection is not: pings are not seen. */
  get isPaused(): boolean {
    return this.#full.size > 0;
  }

  /** Sends a request to the kubelet of the node. @throws UnavailableError when the tunnel is over or has too many connections */
  open(request: KubeletRequest): TunnelConnection {
    const { mostConnections, nextId } = this.#options;
    if (this.#isOver || !this.#options.transport.isOpen || !nextId)
      throw new UnavailableError("tunnel-closed", "the tunnel of the node is closed");
    if (this.#connections.size >= mostConnections)
      throw new UnavailableError(
        "tunnel-full",
        `the tunnel of the node has ${mostConnections} connections already`,
      );
    const id = nextId();
    const connection = this.#add(id);
    void this.#send(encodeTunnelFrame(id, tunnelTypes.exec, encodeConnect(id, request))).catch(
      () => undefined,
    );
    return connection;
  }

  /** Ends the tunnel with a reason that its other end logs. */
  close(reason: string): void {
    const { transport } = this.#options;
    if (transport.isOpen) {
      transport.sendAsText(encodeTunnelFrame(0, tunnelTypes.close, new TextEncoder().encode(reason)));
      // The peer has to read what comes before: a paused one would not close either.
      transport.resume();
      transport.close(normalClosure, "");
    }
    this.#end(reason);
  }

  #receive({ id, type, bytes }: TunnelFrame, over: (reason: string) => void): void {
    const connection = this.#connections.get(id);
    if (type === tunnelTypes.data) connection?.receive(bytes);
    else if (type === tunnelTypes.remove) connection?.finish();
    else if (type === tunnelTypes.close) {
      over(new TextDecoder().decode(bytes.subarray(0, 1000)));
      this.#options.transport.close(normalClosure, "");
    } else if (type <= tunnelTypes.attach) this.#accept({ id, type, bytes });
    // Other types may come from newer peers, and mean nothing here.
  }

  #accept({ id, type, bytes }: TunnelFrame): void {
    const { accept, mostConnections } = this.#options;
    if (!accept || this.#connections.has(id)) return;
    if (this.#connections.size >= mostConnections) return this.#remove(id);
    let request: KubeletRequest;
    try {
      request = readConnect(bytes);
    } catch {
      return this.#remove(id);
    }
    const hasBody = type === tunnelTypes.logs || type === tunnelTypes.metrics;
    accept(request, this.#add(id), hasBody ? "body" : "bytes");
  }

  #add(id: number): TunnelConnection {
    const connection = new TunnelConnection({
      send: (bytes) => this.#send(encodeTunnelFrame(id, tunnelTypes.data, bytes)),
      remove: () => this.#remove(id),
      full: () => this.#hold(connection),
      drained: () => this.#letGo(connection),
    });
    this.#connections.set(id, connection);
    void connection.closed.then(() => {
      this.#letGo(connection);
      this.#connections.delete(id);
    });
    return connection;
  }

  #remove(id: number): void {
    this.#send(encodeTunnelFrame(id, tunnelTypes.remove)).catch(() => undefined);
  }

  #hold(connection: TunnelConnection): void {
    if (this.#full.has(connection)) return;
    const { clock, transport } = this.#options;
    this.#full.set(
      connection,
      clock.after(holdUpMs, () => this.#giveUp(connection)),
    );
    transport.pause();
  }

  /** One that is alone may be as slow as it likes. */
  #giveUp(connection: TunnelConnection): void {
    if (!this.#full.has(connection)) return;
    if (this.#connections.size > 1)
      return connection.fail("it was read too slowly, and held up the others of its node");
    this.#full.set(
      connection,
      this.#options.clock.after(holdUpMs, () => this.#giveUp(connection)),
    );
  }

  #letGo(connection: TunnelConnection): void {
    const timer = this.#full.get(connection);
    if (!timer) return;
    timer[Symbol.dispose]();
    this.#full.delete(connection);
    if (this.#full.size === 0) this.#options.transport.resume();
  }

  #end(reason: string): void {
    this.#isOver = true;
    for (const connection of this.#connections.values()) connection.cut(reason);
  }

  /** Resolves once the operating system took it. @throws ClosedError */
  async #send(frame: Uint8Array): Promise<void> {
    const { transport } = this.#options;
    if (this.#isOver || !transport.isOpen) throw new ClosedError("the tunnel is closed");
    const sent = Promise.withResolvers<void>();
    transport.sendAsText(frame, sent.resolve);
    await sent.promise;
  }
}
