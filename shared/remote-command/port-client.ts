import { describeError } from "#shared/errors";
import type { ByteStream } from "#shared/streams";

/** Connects to a port of the pod. @throws PodRefusal when it cannot be reached */
export type ConnectPort = (port: number) => Promise<{
  readonly stream: ByteStream;
  readonly fromNode: ReadableStream<Uint8Array>;
}>;

/** One connection of a client to a port. */
export interface PortConnection {
  readonly port: number;
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  /** Tells the client why there is no connection, or no more. */
  fail(reason: string): Promise<void>;
}

/** Passes bytes in both directions, half closes included, until both have ended. Never rejects. */
export async function passConnection(client: PortConnection, connect: ConnectPort): Promise<void> {
  try {
    const { stream, fromNode } = await connect(client.port);
    const toNode = client.readable.pipeTo(stream.writable).catch((error: unknown) => {
      stream.reset(describeError(error));
    });
    try {
      await fromNode.pipeTo(client.writable);
      await toNode;
    } finally {
      stream.reset("the connection has ended");
    }
  } catch (error) {
    await client.fail(describeError(error)).catch(() => undefined);
  }
}
