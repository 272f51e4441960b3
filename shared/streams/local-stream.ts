import { onNextMicrotask } from "#shared/clock";
import type { ByteStream, StreamHead } from "./byte-stream.ts";
import { StreamChannel, type StreamChannelOptions } from "./channel.ts";

/**
 * Opens a stream whose other end is in this process, with the flow control of a link.
 * @param accept gets the other end, in a later turn
 */
export function openLocalStream(head: StreamHead, accept: (stream: ByteStream) => void): ByteStream {
  const far: StreamChannel = channelTo(() => near, { end: "node", accept });
  const near: StreamChannel = channelTo(() => far, {
    end: "cloud",
    accept: (stream) => stream.reset("no stream is served here"),
  });
  return near.open(head);
}

function channelTo(
  peer: () => StreamChannel,
  options: Pick<StreamChannelOptions, "end" | "accept">,
): StreamChannel {
  return new StreamChannel({
    ...options,
    transport: {
      isOpen: true,
      send: (frame, written) =>
        onNextMicrotask(() => {
          // What a channel sends is bytes.
          if (typeof frame !== "string") peer().receive(frame);
          written?.();
        }),
    },
    // Nothing is queued on the way: there is no delay to measure.
    nowMs: () => 0,
    broken: (reason) => peer().end(reason),
  });
}
