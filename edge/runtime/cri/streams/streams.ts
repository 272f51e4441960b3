import type { Clock } from "#shared/clock";
import { AppError } from "#shared/errors";
import { asRecord, asText, recordOf, tryJson } from "#shared/json";
import type {
  AttachRequest,
  CommandResult,
  EngineCallOptions,
  ExecRequest,
  ExecStream,
  LogOptions,
  OutputChunk,
  PodConnection,
  ProcessStream,
  RunOptions,
  RuntimeCode,
  StreamService,
} from "#edge/runtime";
import type { CriAnswer, CriCalls } from "#edge/runtime/cri/api";
import { readLog } from "#edge/runtime/cri/logs";
import { PodConnector } from "#edge/runtime/pod-network";
import { RemoteProcess } from "./process.ts";
import { openStreams } from "./upgrade.ts";

export interface CriStreamsOptions {
  readonly clock: Clock;
  /** Aborted when the runtime is disposed. */
  readonly signal: AbortSignal;
}

/** Logs from the files of the engine, processes over its streaming server, and connections inside the network of a pod. */
export class CriStreams implements StreamService {
  readonly #calls: CriCalls;
  readonly #options: CriStreamsOptions;
  readonly #connector = new PodConnector();

  constructor(calls: CriCalls, options: CriStreamsOptions) {
    this.#calls = calls;
    this.#options = options;
  }

  async *logs(id: string, options: LogOptions): AsyncGenerator<OutputChunk> {
    const what = "read the log of a container";
    const { signal: caller } = options;
    const { status } = await this.#calls.call(
      what,
      "ContainerStatus",
      { containerId: id },
      { signal: caller },
    );
    const { clock } = this.#options;
    const signal = this.#either(caller);
    const isOver = (): Promise<boolean> => this.#isOver(id, caller);
    // One that was never started has no file.
    if (!status || status.logPath === "") return;
    yield* readLog({ path: status.logPath, isOver, clock, signal }, options);
  }

  /** Short: of a container that is followed it is asked each second. */
  async #isOver(id: string, signal: AbortSignal | undefined): Promise<boolean> {
    const request = { filter: { id } };
    const { containers } = await this.#calls.call("look for a container", "ListContainers", request, {
      signal,
    });
    return !containers.some(({ state }) => state === "CONTAINER_RUNNING" || state === "CONTAINER_CREATED");
  }

  async exec(id: string, { command, tty, stdin, signal }: ExecRequest): Promise<ExecStream> {
    const what = "run a command in a container";
    const request = { containerId: id, cmd: command, tty, stdin, stdout: true, stderr: !tty };
    const { url } = await this.#calls.call(what, "Exec", request, { signal });
    return this.#open(url, { tty, stdin, signal });
  }

  async attach(id: string, { tty, stdin, signal }: AttachRequest): Promise<ProcessStream> {
    const request = { containerId: id, tty, stdin, stdout: true, stderr: !tty };
    const { url } = await this.#calls.call("attach to a container", "Attach", request, { signal });
    return withoutExitCode(await this.#open(url, { tty, stdin, signal }));
  }

  async #open(url: string, request: Omit<ExecRequest, "command">): Promise<RemoteProcess> {
    const { tty, stdin } = request;
    const signal = this.#either(request.signal);
    const connection = await openStreams(url, { clock: this.#options.clock, signal });
    return RemoteProcess.open(connection, { tty, stdin, signal });
  }

  async connect(id: string, port: number, { signal }: EngineCallOptions = {}): Promise<PodConnection> {
    const what = "inspect a sandbox";
    const request = { podSandboxId: id, verbose: true };
    const answer = await this.#calls.call(what, "PodSandboxStatus", request, { signal });
    const { status } = answer;
    if (status?.state !== "SANDBOX_READY")
      throw new AppError(
        "connect-failed" satisfies RuntimeCode,
        `Cannot connect to port ${port} of the pod: it does not run`,
      );
    const isHost = status.linux?.namespaces?.options?.network === "NODE";
    const address = isHost ? "127.0.0.1" : status.network?.ip || undefined;
    const namespace = isHost ? undefined : networkNamespaceOf(answer);
    const { clock } = this.#options;
    return this.#connector.connect({ namespace, address, port }, { clock, signal: this.#either(signal) });
  }

  /** As with kubelet, what was written to standard error follows what was written to standard output. */
  async runCommand(id: string, command: readonly string[], options: RunOptions): Promise<CommandResult> {
    const { maxOutputBytes, signal } = options;
    const what = "run a command in a container";
    const request = { containerId: id, cmd: command };
    const answer = await this.#calls.call(what, "ExecSync", request, {
      signal: this.#either(signal),
      timeoutMs: Infinity,
    });
    const output = Buffer.concat([answer.stdout, answer.stderr]).subarray(0, maxOutputBytes);
    return { exitCode: answer.exitCode, output: output.toString() };
  }

  #either(signal: AbortSignal | undefined): AbortSignal {
    return signal ? AbortSignal.any([signal, this.#options.signal]) : this.#options.signal;
  }
}

/** Of a process that was attached to nobody says how it ended. */
function withoutExitCode(process: RemoteProcess): ProcessStream {
  return {
    output: process.output,
    write: (bytes) => process.write(bytes),
    closeInput: () => process.closeInput(),
    resize: (size) => process.resize(size),
    [Symbol.asyncDispose]: () => process[Symbol.asyncDispose](),
  };
}

/** Where the network of a sandbox is: containerd and CRI-O tell it with the specification of the sandbox for runc. */
function networkNamespaceOf({ info }: CriAnswer<"PodSandboxStatus">): string | undefined {
  const details = recordOf(tryJson(info["info"] ?? ""));
  const linux = recordOf(recordOf(details["runtimeSpec"])["linux"]);
  const namespaces = Array.isArray(linux["namespaces"]) ? linux["namespaces"] : [];
  const network = namespaces.map(asRecord).find((one) => one?.["type"] === "network");
  const path = asText(network?.["path"]);
  if (path !== "") return path;
  const { pid } = details;
  return typeof pid === "number" && pid > 0 ? `/proc/${pid}/ns/net` : undefined;
}
