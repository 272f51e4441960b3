import type Docker from "dockerode";
import { Duplex, type Readable } from "node:stream";
import { AppError, asError, BugError } from "#shared/errors";
import type { Clock } from "#shared/clock";
import {
  readResult,
  type AttachRequest,
  type CommandResult,
  type EngineCallOptions,
  type ExecRequest,
  type ExecStream,
  type LogOptions,
  type OutputChunk,
  type PodConnection,
  type ProcessStream,
  type RunOptions,
  type StreamService,
  type TerminalSize,
} from "#edge/runtime";
import { PodConnector } from "#edge/runtime/pod-network";
import type { DockerCalls } from "./calls.ts";
import { toRuntimeError } from "./error.ts";
import { demultiplex, plainOutput } from "./frames.ts";
import { asReadable } from "./lines.ts";
import { readIps } from "./read.ts";

/** Docker may know the exit code a moment after the output has ended. */
const exitPollMs = 20;
/**
 * Docker takes the keys with which its own client detaches, Ctrl-P among them, out of what is typed on a terminal. It cannot
 * be made to take none, so these are keys that nobody types.
 */
const detachKeys = Array.from({ length: 8 }, () => "ctrl-@").join(",");

export interface DockerStreamsOptions {
  readonly clock: Clock;
  /** Aborted when the runtime is disposed. */
  readonly signal: AbortSignal;
  /** Whether the engine is on this machine. */
  readonly isLocal: boolean;
}

/** Logs and processes of containers over Docker's hijacked connections. */
export class DockerStreams implements StreamService {
  readonly #calls: DockerCalls;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  readonly #isLocal: boolean;
  readonly #connector = new PodConnector();

  constructor(calls: DockerCalls, options: DockerStreamsOptions) {
    this.#calls = calls;
    this.#clock = options.clock;
    this.#signal = options.signal;
    this.#isLocal = options.isLocal;
  }

  async *logs(id: string, options: LogOptions): AsyncGenerator<OutputChunk> {
    const what = "read the log of a container";
    const container = this.#calls.docker.getContainer(id);
    const { Config } = await this.#calls.call(what, options, () => container.inspect());
    const stream = await this.#calls.call(what, options, (abortSignal) =>
      openLog(this.#calls.docker, id, { ...options, signal: abortSignal }),
    );
    using link = this.#link(stream, options.signal);
    yield* readOutput(stream, { tty: Config.Tty, what, signal: link.signal });
  }

  async exec(id: string, { command, tty, stdin, signal }: ExecRequest): Promise<ExecStream> {
    const what = "run a command in a container";
    const body = {
      Cmd: [...command],
      Tty: tty,
      AttachStdin: stdin,
      AttachStdout: true,
      AttachStderr: true,
      DetachKeys: detachKeys,
    };
    const { exec, stream } = await this.#calls.call(what, { signal }, async (abortSignal) => {
      const created = await this.#calls.docker.getContainer(id).exec({ ...body, abortSignal });
      const start = { Tty: tty, hijack: true, stdin: true, abortSignal };
      return { exec: created, stream: await created.start(start) };
    });
    if (!stdin) stream.end();
    const link = this.#link(stream, signal);
    return new DockerExec({
      stream,
      link,
      output: readOutput(stream, { tty, what, signal: link.signal }),
      hasInput: stdin,
      resize: ({ columns, rows }) =>
        this.#calls.call("resize a terminal", { signal }, () => exec.resize({ w: columns, h: rows })),
      exitCode: () => this.#exitCode(exec, signal),
    });
  }

  async attach(id: string, { tty, stdin, signal }: AttachRequest): Promise<ProcessStream> {
    const what = "attach to a container";
    const container = this.#calls.docker.getContainer(id);
    const request = { stream: true, stdin, stdout: true, stderr: true, hijack: true, detachKeys };
    const stream = await this.#calls.call(what, { signal }, async (abortSignal) => {
      const socket = await container.attach({ ...request, abortSignal });
      if (socket instanceof Duplex) return socket;
      throw new BugError("dockerode returned something else than a socket");
    });
    const link = this.#link(stream, signal);
    return new DockerProcess({
      stream,
      link,
      output: readOutput(stream, { tty, what, signal: link.signal }),
      hasInput: stdin,
      resize: ({ columns, rows }) =>
        this.#calls.call("resize a terminal", { signal }, () => container.resize({ w: columns, h: rows })),
    });
  }

  async connect(id: string, port: number, { signal }: EngineCallOptions = {}): Promise<PodConnection> {
    const sandbox = await this.#calls.call("inspect a sandbox", { signal }, () =>
      this.#calls.docker.getContainer(id).inspect(),
    );
    const isHost = sandbox.HostConfig.NetworkMode === "host";
    const address = isHost && sandbox.State.Running ? "127.0.0.1" : readIps(sandbox)[0];
    const namespace = this.#isLocal ? sandbox.NetworkSettings.SandboxKey || undefined : undefined;
    const either = signal ? AbortSignal.any([signal, this.#signal]) : this.#signal;
    return this.#connector.connect({ namespace, address, port }, { clock: this.#clock, signal: either });
  }

  async runCommand(id: string, command: readonly string[], options: RunOptions): Promise<CommandResult> {
    const { signal } = options;
    await using process = await this.exec(id, { command, tty: false, stdin: false, signal });
    return await readResult(process, options);
  }

  async #exitCode(exec: Docker.Exec, signal: AbortSignal | undefined): Promise<number> {
    for (;;) {
      const { ExitCode: code } = await this.#calls.call("read an exit code", { signal }, () =>
        exec.inspect(),
      );
      if (code !== null) return code;
      await this.#clock.sleep(exitPollMs, { signal: signal ?? this.#signal });
    }
  }

  /** Destroys the stream when the caller's signal, or that of the runtime, is aborted. */
  #link(stream: Readable, signal: AbortSignal | undefined): Link {
    const either = signal ? AbortSignal.any([signal, this.#signal]) : this.#signal;
    const destroy = (): void => void stream.destroy(asError(either.reason));
    // A stream that nobody reads must not end the process; the reader gets the error from `output`.
    stream.on("error", () => undefined);
    if (either.aborted) destroy();
    either.addEventListener("abort", destroy, { once: true });
    return {
      signal: either,
      [Symbol.dispose]: () => {
        either.removeEventListener("abort", destroy);
        stream.destroy();
      },
    };
  }
}

/** Between a stream and the signals that end it. */
interface Link extends Disposable {
  readonly signal: AbortSignal;
}

interface ProcessParts {
  readonly stream: Duplex;
  readonly link: Disposable;
  readonly output: AsyncIterable<OutputChunk>;
  readonly hasInput: boolean;
  readonly resize: (size: TerminalSize) => Promise<unknown>;
}

class DockerProcess implements ProcessStream {
  readonly output: AsyncIterable<OutputChunk>;
  readonly #parts: ProcessParts;

  constructor(parts: ProcessParts) {
    this.output = parts.output;
    this.#parts = parts;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (!this.#parts.hasInput) throw new AppError("no-stdin", "Cannot write to a process: it has no stdin");
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#parts.stream.write(bytes, (error) =>
      error ? reject(toRuntimeError("write to a process", error)) : resolve(),
    );
    await promise;
  }

  async closeInput(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#parts.stream.end(resolve);
    await promise;
  }

  async resize(size: TerminalSize): Promise<void> {
    await this.#parts.resize(size);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#parts.link[Symbol.dispose]();
  }
}

class DockerExec extends DockerProcess implements ExecStream {
  readonly #exitCode: () => Promise<number>;

  constructor({ exitCode, ...parts }: ProcessParts & { readonly exitCode: () => Promise<number> }) {
    super(parts);
    this.#exitCode = exitCode;
  }

  exitCode(): Promise<number> {
    return this.#exitCode();
  }
}

/** Not `container.logs`: without `follow` that reads the whole log into memory. */
function openLog(docker: Docker, id: string, options: LogOptions): Promise<Readable> {
  const { follow = false, tailLines, sinceMs, timestamps = false, source } = options;
  const query = {
    stdout: source !== "stderr",
    stderr: source !== "stdout",
    follow,
    timestamps,
    ...(tailLines === undefined ? {} : { tail: tailLines }),
    ...(sinceMs === undefined ? {} : { since: (sinceMs / 1000).toFixed(3) }),
  };
  const request = {
    path: `/containers/${id}/logs?`,
    method: "GET",
    isStream: true,
    statusCodes: { 200: true, 404: "no such container", 500: "server error" },
    ...(options.signal ? { abortSignal: options.signal } : {}),
    options: query,
  };
  const { promise, resolve, reject } = Promise.withResolvers<Readable>();
  docker.modem.dial(request, (error, stream) => {
    if (error) reject(asError(error));
    else resolve(asReadable(stream));
  });
  return promise;
}

async function* readOutput(
  stream: Readable,
  { tty, what, signal }: { readonly tty: boolean; readonly what: string; readonly signal: AbortSignal },
): AsyncGenerator<OutputChunk> {
  try {
    const chunks: AsyncIterable<Uint8Array> = stream;
    yield* tty ? plainOutput(chunks) : demultiplex(chunks);
  } catch (error) {
    signal.throwIfAborted();
    throw toRuntimeError(what, error);
  }
}
