import { createServer, type Socket } from "node:net";
import { once } from "node:events";
import { generate, parser, type IPublishPacket, type Packet } from "mqtt-packet";
import type { ExternalBrokerConfig } from "#shared/config";

export interface ScriptedBroker extends Disposable {
  readonly port: number;
  /** Of each connection, in order. */
  readonly connections: { readonly socket: Socket; readonly packets: Packet[] }[];
  /** Topics published so far, with repetitions. */
  topics(): string[];
}

/** A broker that answers everything but publications; what becomes of those `take` decides. */
export async function startScriptedBroker(
  take: (packet: IPublishPacket, socket: Socket, connection: number) => "acknowledge" | "ignore" | "cut",
): Promise<ScriptedBroker> {
  const connections: { readonly socket: Socket; readonly packets: Packet[] }[] = [];
  const server = createServer((socket) => {
    const packets: Packet[] = [];
    const number = connections.push({ socket, packets });
    const reader = parser();
    reader.on("packet", (packet) => {
      packets.push(packet);
      const answer = answerTo(packet, number);
      if (answer) return void socket.write(generate(answer));
      if (packet.cmd !== "publish") return;
      const verdict = take(packet, socket, number);
      if (verdict === "cut") socket.destroy();
      if (verdict === "acknowledge")
        socket.write(generate({ cmd: "puback", messageId: packet.messageId ?? 0 }));
    });
    socket.on("data", (bytes) => !socket.destroyed && reader.parse(bytes));
    socket.on("error", () => undefined);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address ? address.port : 0,
    connections,
    topics: () =>
      connections.flatMap(({ packets }) =>
        packets.flatMap((packet) => (packet.cmd === "publish" ? [packet.topic] : [])),
      ),
    [Symbol.dispose]: () => {
      for (const { socket } of connections) socket.destroy();
      server.close();
    },
  };
}

function answerTo(packet: Packet, connection: number): Packet | undefined {
  const messageId = packet.messageId ?? 0;
  if (packet.cmd === "connect") return { cmd: "connack", returnCode: 0, sessionPresent: connection > 1 };
  if (packet.cmd === "subscribe")
    return { cmd: "suback", messageId, granted: packet.subscriptions.map(() => 1) };
  if (packet.cmd === "unsubscribe") return { cmd: "unsuback", messageId, granted: [] };
  return packet.cmd === "pingreq" ? { cmd: "pingresp" } : undefined;
}

export function externalAt(port: number, protocol: 4 | 5 = 4): ExternalBrokerConfig {
  return {
    protocol,
    url: `tcp://127.0.0.1:${port}`,
    clientId: undefined,
    username: undefined,
    password: undefined,
    caFile: undefined,
    certFile: undefined,
    keyFile: undefined,
  };
}
