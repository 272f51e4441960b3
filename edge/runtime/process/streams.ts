import { AppError } from "#shared/errors";
import type { ExecRequest, ExecStream, OutputChunk, ProcessStream, TerminalSize } from "#edge/runtime";
import { commandScript, systemPath, type CommandInput } from "#edge/runtime/process/script";

/**
 * Runs a command beside the program of a container: in its namespaces, its control group, and as its user. Disposing kills it, with
 * what it has started in its session.
 */
export function runBeside(
  input: CommandInput,
  request: Pick<ExecRequest, "tty" | "stdin" | "signal">,
): ExecStream {
  const stream = request.tty ? new TerminalCommand(input) : new PipedCommand(input, request.stdin);
  const { signal } = request;
  const kill = (): void => void stream[Symbol.asyncDispose]();
  if (signal?.aborted) kill();
  signal?.addEventListener("abort", kill, { once: true });
  void stream.ended.then(() => signal?.removeEventListener("abort", kill));
  return stream;
}

function optionsOf(): {
  readonly cwd: string;
  readonly env: Record<string, string>;
  readonly detached: true;
} {
  return { cwd: "/", env: { PATH: systemPath }, detached: true };
}

/** The session of a detached process has its number. */
function killSession(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

class PipedCommand implements ExecStream {
  readonly output: AsyncIterable<OutputChunk>;
  readonly ended: Promise<number>;
  readonly #child: Bun.Subprocess<"pipe" | "ignore", "pipe", "pipe">;

  constructor(input: CommandInput, hasInput: boolean) {
    const command = [input.tools.sh, "-c", commandScript(input)];
    const options = {
      ...optionsOf(),
      stdin: hasInput ? "pipe" : "ignore",
      stdout: "pipe",
      stderr: "pipe",
    } as const;
    this.#child = Bun.spawn(command, options);
    this.output = merge(this.#child.stdout, this.#child.stderr);
    this.ended = this.#child.exited;
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
    return this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) killSession(this.#child.pid);
  }
}

class TerminalCommand implements ExecStream {
  readonly output: AsyncIterable<OutputChunk>;
  readonly ended: Promise<number>;
  readonly #child: Bun.Subprocess;
  readonly #terminal: Bun.Terminal;

  constructor(input: CommandInput) {
    const { readable, writable } = new TransformStream<OutputChunk, OutputChunk>();
    const writer = writable.getWriter();
    const ignore = (): void => undefined;
    this.#terminal = new Bun.Terminal({
      cols: 80,
      rows: 24,
      data: (_terminal, bytes) =>
        void writer.write({ stream: "stdout", bytes: new Uint8Array(bytes) }).catch(ignore),
      exit: () => void writer.close().catch(ignore),
    });
    const command = [input.tools.sh, "-c", commandScript(input)];
    this.#child = Bun.spawn(command, { ...optionsOf(), terminal: this.#terminal });
    this.output = readable;
    this.ended = this.#child.exited.then((code) => {
      this.#terminal.close();
      return code;
    });
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
    return this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) killSession(this.#child.pid);
  }
}

/** What both write, in the order in which it arrives. */
async function* merge(
  stdout: ReadableStream<Uint8Array>,
  stderr: ReadableStream<Uint8Array>,
): AsyncGenerator<OutputChunk> {
  const readers = { stdout: stdout.getReader(), stderr: stderr.getReader() };
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
}

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
