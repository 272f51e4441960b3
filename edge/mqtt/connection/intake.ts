import type { Inbound } from "#edge/mqtt/packet";
import type { BrokerClient } from "./client.ts";
import { resumeDelivery, takeAck, type AckPacket } from "./in-flight.ts";

const pingResponse = Buffer.from([0xd0, 0]);

export function takePackets(
  client: BrokerClient,
  take: (client: BrokerClient, packet: Inbound) => void,
): void {
  const parser = client._parser;
  const [handle] = parser.listeners("packet");
  let left = false;
  let isIn = false;
  const receive = (packet: InPacket): void => {
    if (left || client.closed) return;
    left = packet.cmd === "disconnect";
    if (isInbound(packet)) {
      // Before CONNECT it ends the connection, and is not aedes' in any case.
      if (!isIn) return void client.conn.destroy();
      take(client, packet);
      client.publisher.keepAlive();
      return;
    }
    if (isAck(packet) && !takeAck(client, packet)) {
      client.emit("error", new Error(`${packet.cmd} for a message that awaits another answer`));
      return;
    }
    if (packet.cmd === "pingreq" && isIn) return answerPing(client);
    handle?.call(parser, packet);
    resumeDelivery(client);
  };
  // What comes in one piece with the CONNECT waits until that is answered; nothing more is read meanwhile.
  let early: InPacket[] = [];
  client.letIn = () => {
    isIn = true;
    const all = early;
    early = [];
    for (const packet of all) receive(packet);
  };
  if (handle) parser.off("packet", handle as () => void);
  parser.on("packet", (packet: InPacket) => {
    if (client.connecting && !isIn) early.push(packet);
    else receive(packet);
  });
}

/** Here, as aedes spends a thousand bytes on it: a client may send a million of them in one piece. */
function answerPing(client: BrokerClient): void {
  client.outbound.send(pingResponse);
  client.publisher.keepAlive();
}

type InPacket = Inbound | AckPacket | { readonly cmd: "disconnect" | "pingreq" };

const inbound: ReadonlySet<string> = new Set(["publish", "pubrel", "subscribe", "unsubscribe"]);

function isInbound(packet: InPacket): packet is Inbound {
  return inbound.has(packet.cmd);
}

function isAck(packet: InPacket): packet is AckPacket {
  return packet.cmd === "puback" || packet.cmd === "pubrec" || packet.cmd === "pubcomp";
}
