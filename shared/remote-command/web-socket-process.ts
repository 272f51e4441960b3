import { channelNumbers, type ChannelFrame, type ProcessChannel } from "#shared/pod-streams";
import type { FrameTransport } from "#shared/transport";
import { ChannelSocket, type ChannelMessage } from "./channel-socket.ts";
import type { ProcessClient, ProcessStreams } from "./process-client.ts";
import type { SubprotocolForm } from "./subprotocols.ts";

/** The client of a process on a WebSocket. */
export class WebSocketProcess implements ProcessClient {
  readonly input: ReadableStream<ChannelFrame>;
  readonly #socket: ChannelSocket;
  readonly #form: SubprotocolForm;

  constructor(transport: FrameTransport, form: SubprotocolForm, streams: ProcessStreams) {
    this.#socket = new ChannelSocket(transport, form.isBase64);
    this.#form = form;
    this.input = framesOf(this.#socket.messages, form, streams);
  }

  /** Upstream begins with an empty message of the first output, and clients may wait for it. */
  greet({ stdout, stderr }: ProcessStreams): Promise<void> {
    const first = stdout ? channelNumbers.stdout : stderr ? channelNumbers.stderr : channelNumbers.error;
    return this.#socket.send(first, new Uint8Array());
  }

  async send(channel: ProcessChannel, bytes: Uint8Array): Promise<void> {
    const text = channel === "error" && !this.#form.hasStatus ? plainError(bytes) : bytes;
    if (text.length > 0) await this.#socket.send(channelNumbers[channel], text);
  }

  async close(): Promise<void> {
    this.#socket.close();
    await this.#socket.closed;
  }
}

function framesOf(
  messages: ReadableStream<ChannelMessage>,
  form: SubprotocolForm,
  streams: ProcessStreams,
): ReadableStream<ChannelFrame> {
  return messages.pipeThrough(
    new TransformStream<ChannelMessage, ChannelFrame>({
      transform: ({ channel, bytes }, controller) => {
        if (channel === channelNumbers.stdin && streams.stdin && bytes.length > 0)
          controller.enqueue({ channel: "stdin", bytes });
        else if (channel === channelNumbers.resize && streams.tty)
          controller.enqueue({ channel: "resize", bytes });
        else if (channel === channelNumbers.close && form.canClose && bytes[0] === channelNumbers.stdin)
          controller.enqueue({ channel: "close", bytes });
      },
    }),
  );
}

/** Before version 4 the channel has the text of an error, and nothing for a success. */
function plainError(status: Uint8Array): Uint8Array {
  try {
    const { status: outcome, message } = JSON.parse(new TextDecoder().decode(status)) as Record<
      string,
      unknown
    >;
    return outcome === "Success" || typeof message !== "string" ? new Uint8Array() : Buffer.from(message);
  } catch {
    return status;
  }
}
