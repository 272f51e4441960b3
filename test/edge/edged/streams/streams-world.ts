import type { Pod } from "#shared/kube";
import {
  askPod,
  encodeChannel,
  encodeInputEnd,
  podStreamHead,
  readChannels,
  type PodExecRequest,
  type PodStreamRequest,
} from "#shared/pod-streams";
import type { ByteStream } from "#shared/streams";
import { link, type Linked } from "#internal/test/shared/streams/linked.ts";
import { edgedWorld, type EdgedWorld } from "#internal/test/support/edge/edged-world.ts";

/** Fields of a request that follow from the pod. */
export type Asked<R extends PodStreamRequest> = Omit<R, "namespace" | "name">;

type AnyAsked = PodStreamRequest extends infer R ? (R extends PodStreamRequest ? Asked<R> : never) : never;

/** edged on Docker, and a link over which streams to its pods are opened as the cloud does. */
export interface StreamsWorld extends AsyncDisposable, Pick<EdgedWorld, "edge" | "runtime"> {
  readonly linked: Linked;
  /** `more`: further fields of the head. */
  readonly open: (pod: Pod, asked: AnyAsked, more?: object) => ByteStream;
  /** The text of a log. */
  readonly read: (pod: Pod, asked?: Partial<Extract<PodStreamRequest, { kind: "logs" }>>) => Promise<string>;
  readonly exec: (
    pod: Pod,
    command: readonly string[],
    more?: Partial<PodExecRequest>,
  ) => Promise<Conversation>;
}

export async function streamsWorld(owner: string): Promise<StreamsWorld> {
  const world = await edgedWorld(owner);
  const linked = await link();
  const port = world.edge.bus.port<never, "pod.stream">("hub");
  void (async () => {
    for (;;) await port.ask("pod.stream", { stream: await linked.atNode() });
  })();
  const open: StreamsWorld["open"] = ({ metadata: { namespace = "", name = "" } }, asked, more = {}) =>
    linked.cloud.open({ ...podStreamHead({ namespace, name, ...asked }), ...more });
  return {
    edge: world.edge,
    runtime: world.runtime,
    linked,
    open,
    read: async (pod, asked = {}) => {
      const stream = open(pod, { kind: "logs", container: "c", ...asked });
      return new Response(await askPod(stream)).text();
    },
    exec: async (pod, command, more = {}) => {
      const request = { kind: "exec", container: "c", command, stdout: true, stderr: true } as const;
      return converse(open(pod, { stdin: false, tty: false, ...request, ...more }));
    },
    [Symbol.asyncDispose]: async () => {
      await linked[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    },
  };
}

/** The caller's end of a process. */
export class Conversation {
  readonly texts = { stdin: "", stdout: "", stderr: "", error: "", resize: "", close: "" };
  /** Rejects when the stream is reset. */
  readonly ended: Promise<void>;
  readonly #stream: ByteStream;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  #wake: () => void = () => undefined;

  constructor(stream: ByteStream, readable: ReadableStream<Uint8Array>) {
    this.#stream = stream;
    this.#writer = stream.writable.getWriter();
    this.ended = this.#read(readable);
    this.ended.catch(() => undefined);
  }

  async type(text: string): Promise<void> {
    await this.#writer.write(encodeChannel("stdin", Buffer.from(text)));
  }

  async resize(Width: number, Height: number): Promise<void> {
    await this.#writer.write(encodeChannel("resize", Buffer.from(JSON.stringify({ Width, Height }))));
  }

  async endInput(): Promise<void> {
    await this.#writer.write(encodeInputEnd());
  }

  leave(): void {
    this.#stream.reset("the caller has gone");
  }

  async until(text: string): Promise<void> {
    while (!this.texts.stdout.includes(text))
      await Promise.race([
        new Promise<void>((resolve) => {
          this.#wake = resolve;
        }),
        this.ended.then(() => Promise.reject(new Error(`ended with ${JSON.stringify(this.texts)}`))),
      ]);
  }

  /** The outcome, as the error channel has it. */
  async outcome(): Promise<unknown> {
    await this.ended;
    return JSON.parse(this.texts.error);
  }

  async #read(readable: ReadableStream<Uint8Array>): Promise<void> {
    for await (const { channel, bytes } of readChannels(readable)) {
      this.texts[channel] += Buffer.from(bytes).toString();
      this.#wake();
    }
  }
}

export async function converse(stream: ByteStream): Promise<Conversation> {
  return new Conversation(stream, await askPod(stream));
}
