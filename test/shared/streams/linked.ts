import { WebSocket, WebSocketServer } from "ws";
import { StreamChannel, type ByteStream } from "#shared/streams";
import { WebSocketTransport } from "#shared/transport";

/** The two ends of a link over a real WebSocket; streams of either end arrive at the other's `accepted`. */
export interface Linked extends AsyncDisposable {
  readonly cloud: StreamChannel;
  readonly node: StreamChannel;
  /** The next stream the peer opened. */
  readonly atNode: () => Promise<ByteStream>;
  readonly atCloud: () => Promise<ByteStream>;
  readonly broken: string[];
  /** Sends a raw frame from the node to the cloud. */
  readonly raw: (bytes: Uint8Array) => void;
  /** From now on the node reads nothing. */
  readonly pauseNode: () => void;
  /** Cuts the connection without a goodbye. */
  readonly cut: () => void;
}

export async function link(): Promise<Linked> {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await new Promise((resolve) => {
    server.once("listening", resolve);
  });
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const accepted = new Promise<WebSocket>((resolve) => {
    server.once("connection", resolve);
  });
  const dialed = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: false });
  const opened = new Promise((resolve) => {
    dialed.once("open", resolve);
  });
  const nodeTransport = new WebSocketTransport(dialed);
  const cloudTransport = new WebSocketTransport(await accepted);
  await opened;
  const broken: string[] = [];
  const [nodeStreams, cloudStreams] = [new Arrivals(), new Arrivals()];
  const node = channel(nodeTransport, "node", nodeStreams, broken);
  const cloud = channel(cloudTransport, "cloud", cloudStreams, broken);
  return {
    cloud,
    node,
    atNode: () => nodeStreams.next(),
    atCloud: () => cloudStreams.next(),
    broken,
    raw: (bytes) => nodeTransport.send(bytes),
    pauseNode: () => nodeTransport.pause(),
    cut: () => nodeTransport.terminate(),
    [Symbol.asyncDispose]: async () => {
      nodeTransport.terminate();
      await Promise.all([nodeTransport.closed, cloudTransport.closed]);
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

function channel(
  transport: WebSocketTransport,
  end: "cloud" | "node",
  arrivals: Arrivals,
  broken: string[],
): StreamChannel {
  const made = new StreamChannel({
    transport,
    end,
    nowMs: () => performance.now(),
    accept: (stream) => arrivals.add(stream),
    broken: (reason) => void broken.push(reason),
  });
  transport.listen({
    onText: () => undefined,
    onBinary: (frame) => made.receive(frame),
    onError: () => undefined,
  });
  void transport.closed.then(() => made.end("the link is lost"));
  return made;
}

class Arrivals {
  readonly #waiting: ByteStream[] = [];
  readonly #takers: ((stream: ByteStream) => void)[] = [];

  add(stream: ByteStream): void {
    const taker = this.#takers.shift();
    if (taker) taker(stream);
    else this.#waiting.push(stream);
  }

  next(): Promise<ByteStream> {
    const stream = this.#waiting.shift();
    if (stream) return Promise.resolve(stream);
    return new Promise((resolve) => {
      this.#takers.push(resolve);
    });
  }
}
