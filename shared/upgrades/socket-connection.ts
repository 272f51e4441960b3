import type { Duplex, Writable } from "node:stream";
import { ClosedError } from "#shared/errors";
import type { Connection } from "./connection.ts";

const gone = "the client has gone";

/** @param head what the peer sent with its request already */
export function connectionOfSocket(socket: Duplex, head: Uint8Array): Connection {
  const closed = Promise.withResolvers<void>();
  socket.once("close", closed.resolve);
  return {
    readable: readableOf(socket, head),
    writable: writableOf(socket),
    closed: closed.promise,
    destroy: () => void socket.destroy(),
  };
}

function readableOf(socket: Duplex, head: Uint8Array): ReadableStream<Uint8Array> {
  let isOpen = true;
  return new ReadableStream<Uint8Array>(
    {
      start: (controller) => {
        const over = (end: () => void): void => {
          if (isOpen) end();
          isOpen = false;
        };
        socket.on("data", (bytes: Uint8Array) => {
          if (!isOpen) return;
          controller.enqueue(bytes);
          if ((controller.desiredSize ?? 0) <= 0) socket.pause();
        });
        socket.once("end", () => over(() => controller.close()));
        socket.once("close", () => over(() => controller.error(new ClosedError(gone))));
        if (head.length > 0) controller.enqueue(new Uint8Array(head));
      },
      pull: () => void socket.resume(),
      cancel: () => {
        isOpen = false;
        socket.resume();
      },
    },
    { highWaterMark: 1 },
  );
}

function writableOf(socket: Duplex): WritableStream<Uint8Array> {
  return new WritableStream<Uint8Array>({
    start: (controller) => void socket.once("close", () => controller.error(new ClosedError(gone))),
    write: async (bytes) => {
      if (socket.destroyed) throw new ClosedError(gone);
      if (!socket.write(bytes)) await drained(socket);
    },
    close: () => void socket.end(),
    abort: () => void socket.destroy(),
  });
}

/** Resolves when the socket takes more, or is closed. */
export async function drained(socket: Writable): Promise<void> {
  const settled = Promise.withResolvers<void>();
  const settle = (): void => settled.resolve();
  socket.once("drain", settle).once("close", settle);
  await settled.promise;
  socket.off("drain", settle).off("close", settle);
}
