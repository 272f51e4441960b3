import type { Clock } from "#shared/clock";
import { AppError, describeError, quote, UnavailableError } from "#shared/errors";
import type { Container, Pod, PodStatus, Status } from "#shared/kube";
import {
  PodRefusal,
  readPodStreamHead,
  refusePod,
  type PodAttachRequest,
  type PodExecRequest,
  type PodForwardRequest,
  type PodLogsRequest,
  type PodStreamRequest,
  type PodTarget,
} from "#shared/pod-streams";
import { encodeBlock, type ByteStream } from "#shared/streams";
import type { ContainerRuntime, ContainerSummary } from "#edge/runtime";
import { logContainerOf } from "./log-container.ts";
import { logOptionsOf, sendLog } from "./logs.ts";
import { connectProcess } from "./process.ts";
import { ProxiedRequests } from "./proxied.ts";

/** A pod that runs here, and its present status. */
export interface PodView {
  /** The uid by which the cloud knows it, where that is another: that of the mirror of a static pod. */
  readonly cloudUid?: string | undefined;
  readonly pod: Pod;
  readonly status: PodStatus | undefined;
}

export interface PodStreamsOptions {
  readonly runtime: Pick<ContainerRuntime, "list" | "inspect" | "logs" | "exec" | "attach" | "connect">;
  readonly findPod: (namespace: string, name: string) => PodView | undefined;
  readonly clock: Pick<Clock, "nowMs">;
  readonly mostStreams?: number;
}

/**
 * At once: a link has 256 streams for everything. Each has a connection to the engine, and up to 0.5 MiB in buffers while its
 * reader is slow.
 */
const mostStreams = 192;

/** One stream that is being served. */
interface Served {
  readonly stream: ByteStream;
  /** Aborted when the stream is over. */
  readonly signal: AbortSignal;
  /** Sends the answer: to be called once the request can be served, before anything else is written. */
  readonly accept: () => Promise<void>;
}

/** Serves logs, exec, attach and port-forward of the pods of this node, as kubelet's server does, and requests to them. */
export class PodStreams implements AsyncDisposable {
  readonly #options: PodStreamsOptions;
  readonly #open = new Set<ByteStream>();
  readonly #ended = new Set<Promise<void>>();
  readonly #proxied = new ProxiedRequests();

  constructor(options: PodStreamsOptions) {
    this.#options = options;
  }

  /** Streams that are being served. */
  get size(): number {
    return this.#open.size;
  }

  /** Takes a stream over; it is ended here. */
  take(stream: ByteStream): void {
    const ended = this.#serve(stream);
    this.#ended.add(ended);
    void ended.then(() => this.#ended.delete(ended));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const stream of this.#open) stream.reset("edgecore shuts down");
    await Promise.all(this.#ended);
  }

  /** Never rejects. */
  async #serve(stream: ByteStream): Promise<void> {
    const over = new AbortController();
    void stream.closed.then(({ reason = "the stream has ended" }) => over.abort(new Error(reason)));
    let isAccepted = false;
    const accept = async (): Promise<void> => {
      isAccepted = true;
      await answer(stream, { status: "Success" });
    };
    try {
      using _place = this.#place(stream);
      await this.#dispatch(readPodStreamHead(stream.head), { stream, signal: over.signal, accept });
    } catch (error) {
      if (isAccepted) stream.reset(describeError(error));
      else await refuse(stream, refusalOf(error));
    }
  }

  /** @throws PodRefusal when there is none */
  #place(stream: ByteStream): Disposable {
    const { mostStreams: most = mostStreams } = this.#options;
    if (this.#open.size >= most)
      throw refusePod.tooMany(`this node serves ${most} streams of its pods already, try again later`);
    this.#open.add(stream);
    return { [Symbol.dispose]: () => void this.#open.delete(stream) };
  }

  #dispatch(request: PodStreamRequest, served: Served): Promise<void> {
    switch (request.kind) {
      case "logs":
        return this.#logs(request, served);
      case "exec":
        return this.#exec(request, served);
      case "attach":
        return this.#attach(request, served);
      case "port-forward":
        return this.#forward(request, served);
      case "proxy":
        return this.#proxied.serve(
          served.stream,
          request,
          () => this.#find(request, "pod does not exist").status,
        );
    }
  }

  async #logs(request: PodLogsRequest, { stream, signal, accept }: Served): Promise<void> {
    const { runtime, clock } = this.#options;
    const { pod, status } = this.#find(request, `pod ${quote(request.name)} does not exist`);
    const { name: podName, container, previous = false } = request;
    if (!specOf(pod, container))
      throw refusePod.notFound(`container ${quote(container)} not found in pod ${quote(podName)}`);
    const id = logContainerOf(status, { podName, container, previous });
    if (!(await runtime.inspect(id)))
      throw refusePod.notFound(`the log of container ${quote(container)} in pod ${quote(podName)} is gone`);
    await accept();
    const options = { ...logOptionsOf(request, clock.nowMs()), signal };
    await sendLog(runtime.logs(id, options), stream.writable, request.limitBytes);
  }

  async #exec(request: PodExecRequest, { stream, signal, accept }: Served): Promise<void> {
    const { pod } = this.#find(request, "pod does not exist");
    const { id } = await this.#running(pod, request.container);
    const { command, tty, stdin } = request;
    await using process = await this.#options.runtime.exec(id, { command, tty, stdin, signal });
    await accept();
    await connectProcess(process, request, stream);
  }

  async #attach(request: PodAttachRequest, { stream, signal, accept }: Served): Promise<void> {
    const { pod } = this.#find(request, "pod does not exist");
    const { id } = await this.#running(pod, request.container);
    // Whether a process has a terminal and an input was decided when it was started.
    const { tty = false, stdin: hasInput = false } = specOf(pod, request.container) ?? {};
    const stdin = request.stdin && hasInput;
    const { runtime } = this.#options;
    await using process = await runtime.attach(id, { tty, stdin, signal });
    // Docker attaches to a container that has just ended as to one that is to be started, and never ends the stream.
    const { phase } = (await runtime.inspect(id)) ?? {};
    if (phase !== "running") throw notFoundIn(request.container);
    await accept();
    await connectProcess(process, { ...request, tty, stdin }, stream);
  }

  async #forward(request: PodForwardRequest, { stream, signal, accept }: Served): Promise<void> {
    const { namespace, name, port } = request;
    const { pod } = this.#find(request, "pod does not exist");
    const list = await this.#options.runtime.list(pod.metadata.uid);
    const sandbox = list.find(({ identity, phase }) => identity.role === "sandbox" && phase === "running");
    if (!sandbox) throw refusePod.notFound(`pod not found (${quote(`${name}_${namespace}`)})`);
    using connection = await this.#options.runtime.connect(sandbox.id, port, { signal });
    await accept();
    await Promise.all([
      stream.readable.pipeTo(connection.writable, { signal }),
      connection.readable.pipeTo(stream.writable, { signal }),
    ]);
  }

  /** @throws PodRefusal when the pod is not one of this node, or another of that name */
  #find({ namespace, name, uid }: PodTarget, missing: string): PodView {
    const found = this.#options.findPod(namespace, name);
    const uids = [undefined, found?.pod.metadata.uid, found?.cloudUid];
    if (!found || !uids.includes(uid)) throw refusePod.notFound(missing);
    return found;
  }

  async #running({ metadata }: Pod, container: string): Promise<ContainerSummary> {
    const list = await this.#options.runtime.list(metadata.uid);
    const found = list.find(
      ({ identity, phase }) =>
        identity.role !== "sandbox" && identity.container === container && phase === "running",
    );
    if (!found) throw notFoundIn(container);
    return found;
  }
}

/** As kubelet: the container does not run. */
function notFoundIn(container: string): PodRefusal {
  return refusePod.notFound(`container not found (${quote(container)})`);
}

function specOf({ spec }: Pod, name: string): Container | undefined {
  const { containers, initContainers = [], ephemeralContainers = [] } = spec;
  return [...containers, ...initContainers, ...ephemeralContainers].find((one) => one.name === name);
}

async function answer({ writable }: ByteStream, status: Status): Promise<void> {
  const writer = writable.getWriter();
  await writer.write(encodeBlock(status));
  writer.releaseLock();
}

/** The caller ends the stream: a reset would discard the answer before it is read. */
async function refuse(stream: ByteStream, refusal: PodRefusal): Promise<void> {
  try {
    await answer(stream, refusal.toStatus());
    await stream.writable.close();
  } catch {
    // The caller has gone.
  }
}

function refusalOf(error: unknown): PodRefusal {
  if (error instanceof PodRefusal) return error;
  if (error instanceof UnavailableError) return refusePod.unavailable(describeError(error));
  if (error instanceof AppError && error.code === "connect-failed")
    return new PodRefusal(500, "InternalError", `error forwarding port: ${describeError(error)}`);
  return refusePod.internal(describeError(error));
}
