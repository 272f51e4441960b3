import { describeError } from "#shared/errors";
import { encodeChannel, encodeInputEnd, readChannels, refusePod } from "#shared/pod-streams";
import type { ByteStream } from "#shared/streams";
import type { ProcessClient } from "./process-client.ts";

/** A process on a node: the stream that was opened for it, and what the node sends behind its answer. */
export interface NodeEnd {
  readonly stream: ByteStream;
  readonly fromNode: ReadableStream<Uint8Array>;
}

/** Connects a client with a process on a node until either ends. Never rejects. */
export async function runProcess(client: ProcessClient, { stream, fromNode }: NodeEnd): Promise<void> {
  const input = new Input(client, stream);
  try {
    await passOutput(client, fromNode);
    input.end();
  } catch (error) {
    stream.reset(describeError(error));
    input.end();
  }
  await client.close();
}

/** @throws ClosedError when the client has gone */
async function passOutput(client: ProcessClient, fromNode: ReadableStream<Uint8Array>): Promise<void> {
  let outcome: Uint8Array | undefined;
  try {
    for await (const { channel, bytes } of readChannels(fromNode))
      if (channel === "error") outcome = bytes;
      else if (channel === "stdout" || channel === "stderr") await client.send(channel, bytes);
  } catch (error) {
    outcome ??= statusOf(describeError(error));
  }
  await client.send("error", outcome ?? statusOf("the node did not say how it ended"));
}

function statusOf(reason: string): Uint8Array {
  const text = `the connection to the process is lost: ${reason}`;
  return new TextEncoder().encode(JSON.stringify(refusePod.internal(text).toStatus()));
}

/** What the client sends to the process. */
class Input {
  readonly #reader;
  readonly #writer;
  readonly #stream: ByteStream;
  #isWriting = false;
  #isOver = false;

  constructor(client: ProcessClient, stream: ByteStream) {
    this.#reader = client.input.getReader();
    this.#writer = stream.writable.getWriter();
    this.#writer.closed.catch(() => undefined);
    this.#stream = stream;
    void this.#pass();
  }

  /** The process has ended: nothing more is read. */
  end(): void {
    this.#isOver = true;
    this.#reader.cancel().catch(() => undefined);
    // What a process never read would keep the stream.
    if (this.#isWriting) this.#stream.reset("the process has ended");
    else this.#writer.close().catch(() => undefined);
  }

  async #pass(): Promise<void> {
    try {
      for (;;) {
        const { done, value } = await this.#reader.read();
        if (done) break;
        this.#isWriting = true;
        await this.#writer.write(
          value.channel === "close" ? encodeInputEnd() : encodeChannel(value.channel, value.bytes),
        );
        this.#isWriting = false;
      }
    } catch {
      // Either side has gone, which ends the other.
    }
    if (!this.#isOver) this.#stream.reset("the client has gone");
  }
}
