import { ClosedError } from "#shared/errors";
import type { FrameTransport } from "#shared/transport";
import { sendFrame } from "#shared/upgrades";

/** A message of one of the numbered channels that share a WebSocket. */
export interface ChannelMessage {
  readonly channel: number;
  readonly bytes: Uint8Array;
}

/** What may wait for its reader before the client waits. A message of one byte takes a few hundred as well. */
const waitingBytes = 256 * 1024;
const leastBytes = 1024;

/**
 * The channels on a WebSocket (`k8s.io/apiserver/pkg/util/wsstream`): each message begins with the number of its channel, as a
 * byte, or in the base64 form as a digit before a text in base64.
 */
export class ChannelSocket {
  /** Ends when the client closes the WebSocket; errors with ClosedError when it is lost. */
  readonly messages: ReadableStream<ChannelMessage>;
  readonly closed: Promise<unknown>;
  readonly #transport: FrameTransport;
  readonly #isBase64: boolean;

  constructor(transport: FrameTransport, isBase64: boolean) {
    this.#transport = transport;
    this.#isBase64 = isBase64;
    this.closed = transport.closed;
    this.messages = messagesOf(transport, isBase64);
  }

  /** Resolves once the operating system took it. @throws ClosedError when the client has gone */
  send(channel: number, bytes: Uint8Array): Promise<void> {
    return sendFrame(this.#transport, this.#isBase64 ? encodeText(channel, bytes) : encode(channel, bytes));
  }

  /** Closes it after what was sent. */
  close(): void {
    this.#transport.close(1000, "");
  }
}

function messagesOf(transport: FrameTransport, isBase64: boolean): ReadableStream<ChannelMessage> {
  let isOpen = true;
  return new ReadableStream<ChannelMessage>(
    {
      start: (controller) => {
        const receive = (message: ChannelMessage | undefined): void => {
          if (!isOpen || !message) return;
          controller.enqueue(message);
          if ((controller.desiredSize ?? 0) <= 0) transport.pause();
        };
        transport.listen({
          onText: (frame) => receive(isBase64 ? decodeText(frame) : decode(Buffer.from(frame))),
          onBinary: (frame) => receive(isBase64 ? decodeText(Buffer.from(frame).toString()) : decode(frame)),
          onError: () => undefined,
        });
        void transport.closed.then(({ code }) => {
          if (!isOpen) return;
          isOpen = false;
          if (code === 1006) controller.error(new ClosedError("the client has gone"));
          else controller.close();
        });
      },
      pull: () => transport.resume(),
      cancel: () => {
        isOpen = false;
        transport.resume();
      },
    },
    {
      highWaterMark: waitingBytes,
      size: (message) => Math.max(leastBytes, message?.bytes.length ?? 0),
    },
  );
}

function encode(channel: number, bytes: Uint8Array): Uint8Array {
  const frame = new Uint8Array(bytes.length + 1);
  frame[0] = channel;
  frame.set(bytes, 1);
  return frame;
}

/** The digits of larger numbers are the characters behind "9", as upstream. */
function encodeText(channel: number, bytes: Uint8Array): string {
  return String.fromCodePoint(48 + channel) + Buffer.from(bytes).toString("base64");
}

/** Empty messages keep a connection alive. */
function decode(frame: Uint8Array): ChannelMessage | undefined {
  const [channel] = frame;
  // A copy: the frame belongs to the transport, and the message may wait.
  return channel === undefined ? undefined : { channel, bytes: new Uint8Array(frame.subarray(1)) };
}

function decodeText(frame: string): ChannelMessage | undefined {
  if (frame === "") return undefined;
  return { channel: (frame.codePointAt(0) ?? 0) - 48, bytes: Buffer.from(frame.slice(1), "base64") };
}
