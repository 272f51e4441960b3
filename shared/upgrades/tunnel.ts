import { ClosedError } from "#shared/errors";
import type { FrameTransport } from "#shared/transport";
import type { Connection } from "./connection.ts";

/** RFC 6455, 7.4.1. */
const normalClosure = 1000;

/** A connection whose bytes are those of the binary messages of a WebSocket. */
export function connectionOfTransport(transport: FrameTransport): Connection {
  return {
    readable: readableOf(transport),
    writable: writableOf(transport),
    closed: transport.closed.then(() => undefined),
    destroy: () => transport.terminate(),
  };
}

function readableOf(transport: FrameTransport): ReadableStream<Uint8Array> {
  let isOpen = true;
  return new ReadableStream<Uint8Array>(
    {
      start: (controller) => {
        transport.listen({
          onText: () => undefined,
          onBinary: (bytes) => {
            if (!isOpen || bytes.length === 0) return;
            // A copy: the frame belongs to the transport, and may wait.
            controller.enqueue(new Uint8Array(bytes));
            if ((controller.desiredSize ?? 0) <= 0) transport.pause();
          },
          onError: () => undefined,
        });
        void transport.closed.then(({ code }) => {
          if (!isOpen) return;
          isOpen = false;
          if (code === normalClosure) controller.close();
          else controller.error(new ClosedError("the client has gone"));
        });
      },
      pull: () => transport.resume(),
      cancel: () => {
        isOpen = false;
        transport.resume();
      },
    },
    { highWaterMark: 1 },
  );
}

function writableOf(transport: FrameTransport): WritableStream<Uint8Array> {
  return new WritableStream<Uint8Array>({
    start: (controller) => {
      void transport.closed.then(() => controller.error(new ClosedError("the client has gone")));
    },
    write: (bytes) => sendFrame(transport, bytes),
    close: () => transport.close(normalClosure, ""),
    abort: () => transport.terminate(),
  });
}

/** Resolves once the operating system took the frame. @throws ClosedError */
export async function sendFrame(transport: FrameTransport, frame: string | Uint8Array): Promise<void> {
  if (!transport.isOpen) throw new ClosedError("the client has gone");
  const sent = Promise.withResolvers<void>();
  transport.send(frame, sent.resolve);
  await sent.promise;
}
