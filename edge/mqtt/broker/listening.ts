import type { Duplex } from "node:stream";
import type { Aedes } from "aedes";
import type { BrokerConfig } from "#shared/config";
import { takeOverClient, type BrokerClient } from "#edge/mqtt/connection";
import { listen, type Listeners, type SocketPeer } from "#edge/mqtt/sockets";
import type { Inside } from "./inside.ts";

export function listenFor(
  broker: Aedes,
  config: BrokerConfig,
  { peers, publishing, subscribing, sessions, backlog, clock, seldom }: Inside,
): Promise<Listeners> {
  const accept = (stream: Duplex, peer: SocketPeer): void => {
    peers.set(stream, peer);
    takeOverClient(broker.handle(stream) as unknown as BrokerClient, {
      brokerId: broker.id,
      maxPacketBytes: config.maxPacketBytes,
      backlog,
      take: (client, packet) => {
        if (packet.cmd === "publish" || packet.cmd === "pubrel") publishing.take(client, packet);
        else subscribing.take(client, packet);
      },
      sessions,
    });
  };
  const failed = (address: string | undefined, problem: string): void =>
    seldom.warn("an MQTT client failed in TLS", { address, problem }, address);
  const refused = (address: string | undefined, origin: string): void =>
    seldom.warn(
      "refused MQTT over WebSocket to a web page of another origin",
      { address, origin: origin.slice(0, 200), setting: "mqtt.broker.websocket-origins" },
      origin.slice(0, 200),
    );
  return listen(config, { clock, accept, failed, refused });
}
