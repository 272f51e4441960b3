import type { Clock } from "#shared/clock";
import { ClosedError } from "#shared/errors";
import { channelNumbers, type ChannelFrame, type ProcessChannel } from "#shared/pod-streams";
import { SpdySession, type SpdyConnection, type SpdyStream } from "#shared/spdy";
import type { ProcessClient, ProcessStreams } from "./process-client.ts";

/** As kubelet waits for the streams of a client (`DefaultStreamCreationTimeout`). */
const streamsMs = 30_000;
/** For a client to close the connection once it has everything: it may lose what it has not read otherwise. */
const closeMs = 2_000;
/** A line of a resize has some 30 bytes. */
const longestResize = 1024;

type Outputs = ReadonlyMap<ProcessChannel, WritableStreamDefaultWriter<Uint8Array>>;

/** The client of a process on SPDY/3.1: a stream for each channel (`v4.channel.k8s.io`). */
export class SpdyProcess implements ProcessClient {
  readonly input: ReadableStream<ChannelFrame>;
  readonly #session: SpdySession;
  readonly #outputs: Outputs;
  readonly #clock: Clock;

  private constructor(session: SpdySession, streams: ReadonlyMap<string, SpdyStream>, clock: Clock) {
    this.#session = session;
    this.#clock = clock;
    this.#outputs = outputsOf(streams);
    this.input = framesOf(streams, session);
  }

  /** Waits for the streams that the client has to open. @throws ClosedError when it does not in time */
  static async accept(
    connection: SpdyConnection,
    wanted: ProcessStreams,
    clock: Clock,
  ): Promise<SpdyProcess> {
    const names = ["error", ...namesOf(wanted)];
    const streams = new Map<string, SpdyStream>();
    const complete = Promise.withResolvers<boolean>();
    const session = new SpdySession({
      connection,
      mostStreams: names.length,
      onStream: (stream) => {
        const name = stream.headers.get("streamtype") ?? "";
        if (!names.includes(name) || streams.has(name)) return stream.reset();
        streams.set(name, stream);
        if (streams.size === names.length) complete.resolve(true);
      },
    });
    void session.closed.then(() => complete.resolve(false));
    using _timer = clock.after(streamsMs, () => complete.resolve(false));
    if (await complete.promise) return new SpdyProcess(session, streams, clock);
    await session.close();
    throw new ClosedError(`the client did not open the streams ${names.join(", ")} in time`);
  }

  async send(channel: ProcessChannel, bytes: Uint8Array): Promise<void> {
    if (bytes.length > 0) await this.#outputs.get(channel)?.write(bytes);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#outputs.values()].map((output) => output.close().catch(() => undefined)));
    const waited = Promise.withResolvers<void>();
    void this.#session.closed.then(() => waited.resolve());
    using _timer = this.#clock.after(closeMs, waited.resolve);
    await waited.promise;
    await this.#session.close();
  }
}

function namesOf({ stdin, stdout, stderr, tty }: ProcessStreams): string[] {
  return [
    ...(stdin ? ["stdin"] : []),
    ...(stdout ? ["stdout"] : []),
    ...(stderr && !tty ? ["stderr"] : []),
    ...(tty ? ["resize"] : []),
  ];
}

function outputsOf(streams: ReadonlyMap<string, SpdyStream>): Outputs {
  const outputs = new Map<ProcessChannel, WritableStreamDefaultWriter<Uint8Array>>();
  for (const channel of ["stdout", "stderr", "error"] as const) {
    const writer = streams.get(channel)?.writable.getWriter();
    if (!writer) continue;
    writer.closed.catch(() => undefined);
    outputs.set(channel, writer);
  }
  return outputs;
}

/** The frames of stdin and resize as they come, until the client leaves. */
function framesOf(
  streams: ReadonlyMap<string, SpdyStream>,
  session: SpdySession,
): ReadableStream<ChannelFrame> {
  const { readable, writable } = new TransformStream<ChannelFrame, ChannelFrame>();
  const writer = writable.getWriter();
  writer.closed.catch(() => undefined);
  const pass = async (name: "stdin" | "resize"): Promise<void> => {
    const stream = streams.get(name);
    if (!stream) return;
    const pieces = name === "stdin" ? stream.readable : linesOf(stream.readable);
    for await (const bytes of pieces) await writer.write({ channel: name, bytes });
    if (name === "stdin")
      await writer.write({ channel: "close", bytes: Uint8Array.of(channelNumbers.stdin) });
  };
  // What they fail with, the end of the session tells.
  for (const name of ["stdin", "resize"] as const) void pass(name).catch(() => undefined);
  void session.closed.then(({ reason }) => writer.abort(new ClosedError(reason))).catch(() => undefined);
  return readable;
}

async function* linesOf(readable: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const bytes of readable) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = (lines.pop() ?? "").slice(-longestResize);
    for (const line of lines) if (line.trim() !== "") yield Buffer.from(line);
  }
}
