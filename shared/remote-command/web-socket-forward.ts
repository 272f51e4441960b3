import type { FrameTransport } from "#shared/transport";
import { ChannelSocket } from "./channel-socket.ts";
import { passConnection, type ConnectPort } from "./port-client.ts";

interface Port {
  readonly port: number;
  readonly toPod: WritableStreamDefaultWriter<Uint8Array>;
  readonly done: Promise<void>;
}

/**
 * Forwards one connection to each port on a WebSocket (`v4.channel.k8s.io`, as the Python client does): channel 2n has the bytes
 * of the n-th port, channel 2n + 1 its errors, and the first message of each is the port in little-endian.
 */
export async function forwardOverChannels(
  transport: FrameTransport,
  { ports, isBase64 }: { readonly ports: readonly number[]; readonly isBase64: boolean },
  connect: ConnectPort,
): Promise<void> {
  const socket = new ChannelSocket(transport, isBase64);
  const open = ports.map((port, index) => openPort(socket, { port, channel: 2 * index }, connect));
  void Promise.all(open.map(({ done }) => done)).then(() => socket.close());
  // Reading may wait for a port.
  void socket.closed.then(() => {
    for (const { toPod } of open) toPod.abort("the client has gone").catch(() => undefined);
  });
  try {
    for await (const { channel, bytes } of socket.messages)
      // A client that sends to a port that has ended does not know yet.
      if (channel % 2 === 0 && bytes.length > 0)
        await open[channel / 2]?.toPod.write(bytes).catch(() => undefined);
  } catch {
    // The client has gone.
  }
  await socket.closed;
}

function openPort(
  socket: ChannelSocket,
  { port, channel }: { readonly port: number; readonly channel: number },
  connect: ConnectPort,
): Port {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const toPod = writable.getWriter();
  toPod.closed.catch(() => undefined);
  const named = Uint8Array.of(port & 0xff, port >> 8);
  const greeted = Promise.all([socket.send(channel, named), socket.send(channel + 1, named)]);
  const done = greeted
    .then(() =>
      passConnection(
        {
          port,
          readable,
          writable: new WritableStream<Uint8Array>({
            write: (bytes) => socket.send(channel, bytes),
            // The client cannot end its direction alone.
            close: () => toPod.close(),
          }),
          fail: (reason) => socket.send(channel + 1, Buffer.from(reason)),
        },
        connect,
      ),
    )
    .catch(() => undefined);
  return { port, toPod, done };
}
