import type { Duplex } from "node:stream";
import { BrokerClient } from "#edge/mqtt/connection";
import { listenForMqtt, type Listeners, type SocketPeer } from "#edge/mqtt/sockets";
import { clientHandlers } from "./connections.ts";
import type { BrokerInternals } from "./internals.ts";

/**
 * Opens the listeners, and serves MQTT on their connections.
 * @throws ConfigError when an address is in use or a certificate cannot be read
 */
export function listenFor(internals: BrokerInternals): Promise<Listeners> {
  const { peers, backlog, clock, seldom, config } = internals;
  const handlers = clientHandlers(internals);
  const parts = { clock, backlog, maxPacketBytes: config.maxPacketBytes, handlers };
  const accept = (stream: Duplex, peer: SocketPeer): void => {
    peers.set(stream, peer);
    new BrokerClient(stream, parts).reader.read();
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
