import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { generate, parser, type IPublishPacket, type Packet } from "mqtt-packet";

/** A client that sends packets one by one or several in one piece, and returns the packets it receives. */
export interface RawClient extends Disposable {
  readonly socket: Socket;
  readonly closed: Promise<unknown>;
  send(...packets: readonly Packet[]): void;
  /** The next packet that came. */
  next(): Promise<Packet>;
}

export async function openRaw(port: number | undefined, protocolVersion: 4 | 5 = 4): Promise<RawClient> {
  const socket = connect(port ?? 0, "127.0.0.1");
  await once(socket, "connect");
  const reader = parser({ protocolVersion });
  const got: Packet[] = [];
  const waiting: ((packet: Packet) => void)[] = [];
  reader.on("packet", (packet) => {
    const wait = waiting.shift();
    if (wait) wait(packet);
    else got.push(packet);
  });
  socket.on("data", (bytes) => reader.parse(bytes));
  socket.on("error", () => undefined);
  return {
    socket,
    closed: new Promise((resolve) => socket.once("close", resolve)),
    send: (...packets) =>
      void socket.write(Buffer.concat(packets.map((packet) => generate(packet, { protocolVersion })))),
    next: () => {
      const packet = got.shift();
      return packet ? Promise.resolve(packet) : new Promise((resolve) => waiting.push(resolve));
    },
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

export function connectPacket(clientId: string, more: object = {}): Packet {
  return {
    cmd: "connect",
    clientId,
    protocolId: "MQTT",
    protocolVersion: 4,
    clean: true,
    keepalive: 0,
    ...more,
  };
}

export function connectPacket5(clientId: string, properties: object = {}, more: object = {}): Packet {
  return connectPacket(clientId, { protocolVersion: 5, properties, ...more });
}

export function publishPacket(topic: string, qos: 0 | 1 | 2, messageId: number, dup = false): IPublishPacket {
  return { cmd: "publish", topic, payload: `${topic} ${messageId}`, qos, dup, retain: false, messageId };
}
