import type { Clock } from "#shared/clock";
import { SpdySession, type SpdyConnection, type SpdyStream } from "#shared/spdy";
import { passConnection, type ConnectPort } from "./port-client.ts";

/** As kubelet waits for the second stream of a pair. */
const pairMs = 30_000;
/** 64 connections: a browser opens 6 to a server. */
const mostStreams = 128;

interface HalfPair {
  readonly type: string;
  readonly stream: SpdyStream;
  readonly timer: Disposable;
}

/**
 * Forwards the connections of a SPDY session (`portforward.k8s.io`). Resolves when the session has ended.
 */
export async function forwardOverSpdy(
  connection: SpdyConnection,
  connect: ConnectPort,
  clock: Clock,
): Promise<void> {
  const pairs = new StreamPairs(clock, (pair) => void forward(pair, connect));
  const onStream = (stream: SpdyStream): void => pairs.add(stream);
  await new SpdySession({ connection, mostStreams, onStream }).closed;
  pairs[Symbol.dispose]();
}

interface StreamPair {
  readonly errors: SpdyStream;
  readonly data: SpdyStream;
}

/** For each connection the client opens a stream of type "error" and one of type "data" with the same `requestid`. */
class StreamPairs implements Disposable {
  readonly #clock: Clock;
  readonly #onPair: (pair: StreamPair) => void;
  readonly #halves = new Map<string, HalfPair>();

  constructor(clock: Clock, onPair: (pair: StreamPair) => void) {
    this.#clock = clock;
    this.#onPair = onPair;
  }

  add(stream: SpdyStream): void {
    const type = stream.headers.get("streamtype") ?? "";
    const id = requestOf(stream, type);
    const half = this.#halves.get(id);
    if ((type !== "error" && type !== "data") || half?.type === type) return stream.reset();
    if (!half) {
      const timer = this.#clock.after(pairMs, () => this.#giveUp(id));
      this.#halves.set(id, { type, stream, timer });
      return undefined;
    }
    half.timer[Symbol.dispose]();
    this.#halves.delete(id);
    this.#onPair(
      type === "data" ? { errors: half.stream, data: stream } : { errors: stream, data: half.stream },
    );
  }

  [Symbol.dispose](): void {
    for (const { timer } of this.#halves.values()) timer[Symbol.dispose]();
    this.#halves.clear();
  }

  #giveUp(id: string): void {
    this.#halves.get(id)?.stream.reset();
    this.#halves.delete(id);
  }
}

/** Clients without `requestid` open the stream for errors first, and the one for data next. */
function requestOf({ id, headers }: SpdyStream, type: string): string {
  return headers.get("requestid") ?? String(type === "data" ? id - 2 : id);
}

async function forward({ errors, data }: StreamPair, connect: ConnectPort): Promise<void> {
  const port = Number(data.headers.get("port"));
  const writer = errors.writable.getWriter();
  writer.closed.catch(() => undefined);
  const fail = async (reason: string): Promise<void> => {
    await writer.write(Buffer.from(reason));
    await writer.close();
    data.reset();
  };
  await passConnection({ port, readable: data.readable, writable: data.writable, fail }, connect);
  await writer.close().catch(() => undefined);
  await errors.readable.cancel().catch(() => undefined);
}
