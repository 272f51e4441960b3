export interface EngineCallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Bytes a process wrote. With a tty there is only one stream: all is "stdout". */
export interface OutputChunk {
  readonly stream: "stdout" | "stderr";
  readonly bytes: Uint8Array;
}

export interface LogOptions extends EngineCallOptions {
  /** Goes on with what is written until the container ends; the signal, or leaving the loop, ends it earlier. */
  readonly follow?: boolean;
  /** Only so many of the last lines; all by default. */
  readonly tailLines?: number;
  /** Only what was written since, in Unix milliseconds. */
  readonly sinceMs?: number;
  /** Begins each line with the time at which it was written (RFC 3339 with nanoseconds) and a blank. */
  readonly timestamps?: boolean;
  /** What was written to one stream alone; to both by default. */
  readonly source?: OutputChunk["stream"];
}

export interface ExecRequest extends EngineCallOptions {
  readonly command: readonly string[];
  readonly tty: boolean;
  /** Whether the caller writes to the command's standard input. */
  readonly stdin: boolean;
}

export interface AttachRequest extends EngineCallOptions {
  /** As the container was created. */
  readonly tty: boolean;
  /** Whether the caller writes to the container's standard input; it has to be created with one. */
  readonly stdin: boolean;
}

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/**
 * A process whose streams are connected. The shape fits Docker's hijacked connections and the streaming URLs of the CRI
 * (channels for stdin, stdout, stderr and resize in `remotecommand`). Disposing disconnects and leaves the process.
 */
export interface ProcessStream extends AsyncDisposable {
  /** To be read once. Ends when the process has closed its output; rejects when the connection breaks or is aborted. */
  readonly output: AsyncIterable<OutputChunk>;
  /** Resolves when the engine has taken the bytes. @throws AppError "no-stdin" when none was asked for */
  write(bytes: Uint8Array): Promise<void>;
  /** Ends the standard input; output goes on. */
  closeInput(): Promise<void>;
  /** Without a tty the engine refuses. */
  resize(size: TerminalSize): Promise<void>;
}

export interface ExecStream extends ProcessStream {
  /** Waits for the end of the command; to be called after `output` was read to its end. */
  exitCode(): Promise<number>;
}

/** A TCP connection to a server in a pod. A direction ends as that of the connection does. */
export interface PodConnection extends Disposable {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
}

/**
 * What `kubectl logs`, `exec`, `attach` and `port-forward` need of an engine. Probes and hooks use `runCommand`, which is
 * built on `exec`.
 */
export interface StreamService {
  /** What a container has written, as the engine kept it. @throws AppError "container-not-found" */
  logs(id: string, options: LogOptions): AsyncIterable<OutputChunk>;
  /** Starts a command in a running container (CRI `Exec`). */
  exec(id: string, request: ExecRequest): Promise<ExecStream>;
  /** Connects to the main process of a running container (CRI `Attach`). */
  attach(id: string, request: AttachRequest): Promise<ProcessStream>;
  /**
   * Connects to a port of a running sandbox, as seen from inside (CRI `PortForward`): to a server that listens on the loopback
   * of the pod too, where the engine is on this machine and edgecore may enter the pod's network.
   * @throws AppError "connect-failed" when nothing listens there
   */
  connect(sandboxId: string, port: number, options?: EngineCallOptions): Promise<PodConnection>;
  /** Runs a command in a running container and waits for its end (CRI `ExecSync`); the signal bounds its time. */
  runCommand(id: string, command: readonly string[], options: RunOptions): Promise<CommandResult>;
}

export interface RunOptions extends EngineCallOptions {
  /** Output beyond is dropped. */
  readonly maxOutputBytes: number;
}

export interface CommandResult {
  readonly exitCode: number;
  /** Standard output and standard error in the order in which they arrived. */
  readonly output: string;
}

/** Reads what a command that was started by `exec` writes, up to its end; the exit code of one whose output was cut is not awaited. */
export async function readResult(
  process: ExecStream,
  { maxOutputBytes, signal }: RunOptions,
): Promise<CommandResult> {
  const kept: Uint8Array[] = [];
  let size = 0;
  for await (const { bytes } of process.output) {
    const part = bytes.subarray(0, maxOutputBytes - size);
    if (part.length > 0) kept.push(part);
    size += part.length;
  }
  signal?.throwIfAborted();
  return { exitCode: await process.exitCode(), output: Buffer.concat(kept).toString() };
}
