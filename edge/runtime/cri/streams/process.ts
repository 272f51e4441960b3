import { AppError, ClosedError, UnavailableError } from "#shared/errors";
import { childOf, isObject, itemsOf, textOf, tryJson } from "#shared/json";
import type { SpdyStream } from "#shared/spdy";
import type { ExecStream, OutputChunk, RuntimeCode, TerminalSize } from "#edge/runtime";
import type { StreamConnection } from "./upgrade.ts";

export interface ProcessRequest {
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly signal: AbortSignal;
}

type ChannelName = "error" | "stdin" | "stdout" | "stderr" | "resize";
type Channels = Partial<Record<ChannelName, SpdyStream>>;

/** A process on the streams of `remotecommand` (`v4.channel.k8s.io`): one for each channel, opened by this end. */
export class RemoteProcess implements ExecStream {
  readonly output: AsyncIterable<OutputChunk>;
  readonly #connection: StreamConnection;
  readonly #channels: Channels;
  readonly #signal: AbortSignal;
  readonly #input: WritableStreamDefaultWriter<Uint8Array> | undefined;
  readonly #sizes: WritableStreamDefaultWriter<Uint8Array> | undefined;
  readonly #abort = (): void => this.#connection[Symbol.dispose]();

  private constructor(connection: StreamConnection, channels: Channels, signal: AbortSignal) {
    this.#connection = connection;
    this.#channels = channels;
    this.#signal = signal;
    this.#input = writerOf(channels.stdin);
    this.#sizes = writerOf(channels.resize);
    this.output = this.#read();
    signal.addEventListener("abort", this.#abort, { once: true });
  }

  /** Opens the streams in the order of kubectl's client. The connection is closed here, also when it fails. */
  static async open(connection: StreamConnection, request: ProcessRequest): Promise<RemoteProcess> {
    const { tty, stdin, signal } = request;
    const names: ChannelName[] = [
      "error",
      ...(stdin ? (["stdin"] as const) : []),
      "stdout",
      tty ? "resize" : "stderr",
    ];
    const channels: Channels = {};
    try {
      for (const name of names)
        channels[name] = await connection.session.open(new Map([["streamtype", name]]));
      signal.throwIfAborted();
      return new RemoteProcess(connection, channels, signal);
    } catch (thrown) {
      connection[Symbol.dispose]();
      signal.throwIfAborted();
      throw lost(thrown);
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (!this.#input) throw new AppError("no-stdin", "Cannot write to a process: it has no stdin");
    try {
      await this.#input.write(bytes);
    } catch (thrown) {
      throw lost(thrown);
    }
  }

  async closeInput(): Promise<void> {
    // The process may have ended.
    await this.#input?.close().catch(() => undefined);
  }

  async resize({ columns, rows }: TerminalSize): Promise<void> {
    if (!this.#sizes)
      throw new AppError("engine-refused" satisfies RuntimeCode, "Cannot resize a terminal: there is none");
    await this.#sizes.write(Buffer.from(`${JSON.stringify({ Width: columns, Height: rows })}\n`));
  }

  /** What the server writes at the end: a Status in JSON. */
  async exitCode(): Promise<number> {
    const { error } = this.#channels;
    try {
      return readOutcome(error ? await new Response(error.readable).text() : "");
    } catch (thrown) {
      this.#signal.throwIfAborted();
      throw lost(thrown);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal.removeEventListener("abort", this.#abort);
    this.#connection[Symbol.dispose]();
  }

  async *#read(): AsyncGenerator<OutputChunk> {
    const { stdout, stderr } = this.#channels;
    try {
      yield* joinOutputs({ stdout, stderr });
    } catch (thrown) {
      this.#signal.throwIfAborted();
      throw lost(thrown);
    }
    this.#signal.throwIfAborted();
  }
}

function writerOf(stream: SpdyStream | undefined): WritableStreamDefaultWriter<Uint8Array> | undefined {
  const writer = stream?.writable.getWriter();
  // Each write fails with it.
  writer?.closed.catch(() => undefined);
  return writer;
}

type Outputs = Readonly<Record<OutputChunk["stream"], SpdyStream | undefined>>;

/** The pieces of both as they come. */
async function* joinOutputs(outputs: Outputs): AsyncGenerator<OutputChunk> {
  const waiting = new Map<OutputChunk["stream"], Promise<Piece>>();
  const next = (stream: OutputChunk["stream"], reader: Reader): void => {
    const piece = reader.read().then(({ value }) => ({ stream, reader, value }));
    // It is awaited with the other one, or not at all when that one fails.
    piece.catch(() => undefined);
    waiting.set(stream, piece);
  };
  for (const stream of ["stdout", "stderr"] as const) {
    const readable = outputs[stream]?.readable;
    if (readable) next(stream, readable.getReader());
  }
  while (waiting.size > 0) {
    const { stream, reader, value } = await Promise.race(waiting.values());
    if (value) {
      next(stream, reader);
      yield { stream, bytes: value };
    } else waiting.delete(stream);
  }
}

/** Of `ReadableStreamDefaultReader`, whose types in Node and on the platform differ in the rest. */
interface Reader {
  read(): Promise<{ readonly value?: Uint8Array | undefined }>;
}

interface Piece {
  readonly stream: OutputChunk["stream"];
  readonly reader: Reader;
  /** Undefined at the end. */
  readonly value: Uint8Array | undefined;
}

/** As `remotecommand`'s client decodes it (`errorDecoderV4`). @throws AppError when the command was not run to its end */
function readOutcome(text: string): number {
  const parsed = tryJson(text);
  const status = isObject(parsed) ? parsed : undefined;
  if (textOf(status, "status") === "Success") return 0;
  const causes = itemsOf(status && childOf(status, "details"), "causes");
  const code = causes.find((one) => textOf(one, "reason") === "ExitCode");
  if (textOf(status, "reason") === "NonZeroExitCode" && code) return Number(textOf(code, "message"));
  const message = textOf(status, "message") || text || "the engine has not said how it ended";
  // The node says the same before it.
  const why = message.replace(/^Internal error occurred: error executing command in container: /, "");
  throw new AppError("engine-refused" satisfies RuntimeCode, `Cannot run a command in a container: ${why}`);
}

function lost(thrown: unknown): AppError {
  if (thrown instanceof AppError && !(thrown instanceof ClosedError)) return thrown;
  return new UnavailableError(
    "engine-away",
    "Cannot go on with a stream: the connection to the container engine is lost",
    {
      cause: thrown,
    },
  );
}
