import type { Duplex } from "node:stream";
import type { Aedes } from "aedes";
import type { BrokerConfig } from "#shared/config";
import { takeOverClient } from "#edge/mqtt/connection";
import { listenForMqtt, type Listeners, type SocketPeer } from "#edge/mqtt/sockets";
import { inner } from "./inner-client.ts";
import type { BrokerInternals } from "./internals.ts";

/**
 * Opens the listeners and hands their connections to aedes, with our corrections.
 * @throws ConfigError when an address is in use or a certificate cannot be read
 */
export function listenFor(
  broker: Aedes,
  config: BrokerConfig,
  { peers, publishing, subscribing, sessions, backlog, clock, seldom }: BrokerInternals,
): Promise<Listeners> {
  const accept = (stream: Duplex, peer: SocketPeer): void => {
    peers.set(stream, peer);
    takeOverClient(inner(broker.handle(stream)), {
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
  const onTlsFailed = (address: string | undefined, problem: string): void =>
    seldom.warn("TLS handshake with an MQTT client failed", { address, problem }, address);
  const onOriginRefused = (address: string | undefined, origin: string): void =>
    seldom.warn(
      "refused MQTT over WebSocket to a web page of another origin",
      { address, origin: origin.slice(0, 200), setting: "mqtt.broker.websocket-origins" },
      origin.slice(0, 200),
    );
  return listenForMqtt(config, { clock, accept, onTlsFailed, onOriginRefused });
}
