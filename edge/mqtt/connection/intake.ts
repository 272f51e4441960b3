import type { Inbound } from "#edge/mqtt/packet";
import type { BrokerClient } from "./client.ts";
import { resumeDelivery, takeAck, type AckPacket } from "./in-flight.ts";

const pingResponse = Buffer.from([0xd0, 0]);

/**
 * Takes the packets of a client over from aedes: publications and subscriptions go to `take`, acknowledgements are checked,
 * pings are answered, and only the rest is passed on. Nothing is handled before the CONNACK or after a DISCONNECT
 * (MQTT 3.1.1 sections 3.1 and 3.14.4).
 */
export function takePackets(
  client: BrokerClient,
  take: (client: BrokerClient, packet: Inbound) => void,
): void {
  const parser = client._parser;
  const [handle] = parser.listeners("packet");
  let isDisconnected = false;
  let isAccepted = false;
  const receive = (packet: InPacket): void => {
    if (isDisconnected || client.closed) return;
    isDisconnected = packet.cmd === "disconnect";
    if (isInbound(packet)) {
      if (!isAccepted) return void client.conn.destroy();
      take(client, packet);
      client.publisher.keepAlive();
      return;
    }
    if (isAck(packet) && !takeAck(client, packet)) {
      client.emit("error", new Error(`${packet.cmd} for a message that expects another acknowledgement`));
      return;
    }
    if (packet.cmd === "pingreq" && isAccepted) return answerPing(client);
    handle?.call(parser, packet);
    resumeDelivery(client);
  };
  // A client may send packets right behind its CONNECT (section 3.1.4): they wait for the CONNACK. Nothing more is read.
  let early: InPacket[] = [];
  client.onConnack = () => {
    isAccepted = true;
    const packets = early;
    early = [];
    for (const packet of packets) receive(packet);
  };
  // Its own handler, with another type than the emitter of node:events declares.
  if (handle) parser.off("packet", handle as () => void);
  parser.on("packet", (packet: InPacket) => {
    if (client.connecting && !isAccepted) early.push(packet);
    else receive(packet);
  });
}

/** Not left to aedes, which allocates a kilobyte for each ping: a client may send a million of them in one piece. */
function answerPing(client: BrokerClient): void {
  client.outbound.send(pingResponse);
  client.publisher.keepAlive();
}

type InPacket = Inbound | AckPacket | { readonly cmd: "disconnect" | "pingreq" };

const inbound: ReadonlySet<string> = new Set<Inbound["cmd"]>([
  "publish",
  "pubrel",
  "subscribe",
  "unsubscribe",
]);

function isInbound(packet: InPacket): packet is Inbound {
  return inbound.has(packet.cmd);
}

function isAck(packet: InPacket): packet is AckPacket {
  return packet.cmd === "puback" || packet.cmd === "pubrec" || packet.cmd === "pubcomp";
}
