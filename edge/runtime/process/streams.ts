import { AppError } from "#shared/errors";
import type { ExecRequest, ExecStream, OutputChunk, ProcessStream, TerminalSize } from "#edge/runtime";
import { commandShell, type CommandInput } from "#edge/runtime/process/script";

/**
 * Runs a command beside the program of a container: in its namespaces, its control group, and as its user. Disposing kills it, with
 * what it has started in its session.
 */
export function runBeside(
  input: CommandInput,
  request: Pick<ExecRequest, "tty" | "stdin" | "signal">,
): ExecStream {
  const stream: BesideCommand = request.tty
    ? new TerminalCommand(input)
    : new PipedCommand(input, request.stdin);
  const { signal } = request;
  const kill = (): void => void stream[Symbol.asyncDispose]();
  if (signal?.aborted) kill();
  signal?.addEventListener("abort", kill, { once: true });
  void stream.over.then(() => signal?.removeEventListener("abort", kill));
  return stream;
}

interface BesideCommand extends ExecStream {
  /** Resolves when its output has ended, which may be after the command, or it was disposed of. */
  readonly over: Promise<void>;
}

/** The session of a detached process has its number. */
function killSession(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

class PipedCommand implements BesideCommand {
  readonly output: AsyncIterable<OutputChunk>;
  readonly #over = Promise.withResolvers<void>();
  readonly #child: Bun.Subprocess<"pipe" | "ignore", "pipe", "pipe">;
  readonly #readers: Readers;

  constructor(input: CommandInput, hasInput: boolean) {
    const { command, env } = commandShell(input);
    const stdin = hasInput ? "pipe" : "ignore";
    const options = { cwd: "/", env, detached: true, stdin, stdout: "pipe", stderr: "pipe" } as const;
    this.#child = Bun.spawn(command, options);
    const { stdout, stderr } = this.#child;
    this.#readers = { stdout: stdout.getReader(), stderr: stderr.getReader() };
    this.output = merge(this.#readers, this.#over.resolve);
  }

  get over(): Promise<void> {
    return this.#over.promise;
  }

  async write(bytes: Uint8Array): Promise<void> {
    const { stdin } = this.#child;
    if (!stdin) throw new AppError("no-stdin", "Cannot write to a process: it has no stdin");
    await stdin.write(bytes);
    await stdin.flush();
  }

  async closeInput(): Promise<void> {
    await this.#child.stdin?.end();
  }

  async resize(): Promise<void> {
    throw new AppError("engine-refused", "Cannot resize a terminal: the command has none");
  }

  exitCode(): Promise<number> {
    return this.#child.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) killSession(this.#child.pid);
    // What the command has left behind may keep its outputs.
    for (const reader of Object.values(this.#readers)) void reader.cancel().catch(() => undefined);
    this.#over.resolve();
  }
}

/** Bytes of a terminal that nobody has read: with the first it is asked to wait, with the last its command is ended. */
const waitBytes = 64 * 1024;
/** Some MiB may come after ^S, which is sent when what is there was taken. */
const mostBytes = 8 * 1024 * 1024;
/** Of `c_iflag`: ^S and ^Q stop and start the output. */
const ixon = 0o2000;

class TerminalCommand implements BesideCommand {
  readonly output: AsyncIterable<OutputChunk>;
  readonly #over = Promise.withResolvers<void>();
  readonly #child: Bun.Subprocess;
  readonly #terminal: Bun.Terminal;
  readonly #writer: WritableStreamDefaultWriter<OutputChunk>;
  readonly #ended: Promise<number>;
  #unread = 0;
  #waits = false;

  constructor(input: CommandInput) {
    const { readable, writable } = new TransformStream<OutputChunk, OutputChunk>();
    this.#writer = writable.getWriter();
    // The reader gets the error.
    this.#writer.closed.catch(() => undefined);
    this.#terminal = new Bun.Terminal({
      cols: 80,
      rows: 24,
      data: (_terminal, bytes) => void this.#take(new Uint8Array(bytes)),
      exit: () => {
        this.#writer.close().catch(() => undefined);
        this.#over.resolve();
      },
    });
    const { command, env } = commandShell(input);
    this.#child = Bun.spawn(command, { cwd: "/", env, detached: true, terminal: this.#terminal });
    this.output = readable;
    this.#ended = this.#child.exited.then((code) => {
      this.#terminal.close();
      return code;
    });
  }

  get over(): Promise<void> {
    return this.#over.promise;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#terminal.write(bytes);
  }

  async closeInput(): Promise<void> {
    // The end of a terminal's input, as its user types it.
    this.#terminal.write("\x04");
  }

  async resize({ columns, rows }: TerminalSize): Promise<void> {
    this.#terminal.resize(columns, rows);
  }

  exitCode(): Promise<number> {
    return this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) killSession(this.#child.pid);
    this.#over.resolve();
  }

  /** A terminal cannot be read later: who writes is asked to wait, and ended when it does not. */
  async #take(bytes: Uint8Array): Promise<void> {
    this.#unread += bytes.length;
    if (this.#unread > mostBytes) return this.#refuse();
    if (this.#unread > waitBytes && !this.#waits) this.#waits = this.#typed("\x13");
    try {
      await this.#writer.write({ stream: "stdout", bytes });
    } catch {
      // It was refused, or nobody reads any more.
    }
    this.#unread -= bytes.length;
    if (!this.#waits || this.#unread > 0) return;
    this.#waits = false;
    // Where they mean nothing any more, it goes on by itself.
    this.#typed("\x11");
  }

  #typed(key: string): boolean {
    if ((this.#terminal.inputFlags & ixon) === 0) return false;
    this.#terminal.write(key);
    return true;
  }

  async #refuse(): Promise<void> {
    if (this.#child.exitCode === null) killSession(this.#child.pid);
    const message = "Cannot go on with a command on a terminal: it writes more output than is read";
    await this.#writer.abort(new AppError("slow-reader", message)).catch(() => undefined);
  }
}

/** What both write, in the order in which it arrives. */
async function* merge(readers: Readers, onEnd: () => void): AsyncGenerator<OutputChunk> {
  type Read = { readonly stream: OutputChunk["stream"]; readonly value: Uint8Array | undefined };
  const next = async (stream: OutputChunk["stream"]): Promise<Read> => ({
    stream,
    value: (await readers[stream].read()).value,
  });
  const pending = new Map([["stdout", next("stdout")] as const, ["stderr", next("stderr")] as const]);
  while (pending.size > 0) {
    const { stream, value } = await Promise.race(pending.values());
    if (value === undefined) pending.delete(stream);
    else {
      pending.set(stream, next(stream));
      yield { stream, bytes: value };
    }
  }
  onEnd();
}

interface Reader {
  /** No value at the end. */
  read(): Promise<{ readonly value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}
type Readers = Readonly<Record<OutputChunk["stream"], Reader>>;

/** The output of a program that runs already, from its log. */
export function attachedTo(output: AsyncIterable<OutputChunk>): ProcessStream {
  const refuse = async (): Promise<never> => {
    throw new AppError("no-stdin", "Cannot write to a process: it has no stdin");
  };
  return {
    output,
    write: refuse,
    closeInput: async () => undefined,
    resize: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
}
