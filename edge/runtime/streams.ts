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

/**
 * What `kubectl logs`, `exec` and `attach` need of an engine. Probes and hooks use `runCommand`, which is built on
 * `exec`; nothing calls the others yet: the streaming API of the node will.
 */
export interface StreamService {
  /** What a container has written, as the engine kept it. @throws AppError "container-not-found" */
  logs(id: string, options: LogOptions): AsyncIterable<OutputChunk>;
  /** Starts a command in a running container (CRI `Exec`). */
  exec(id: string, request: ExecRequest): Promise<ExecStream>;
  /** Connects to the main process of a running container (CRI `Attach`). */
  attach(id: string, request: AttachRequest): Promise<ProcessStream>;
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
