import { answerDeliveries, Upstream, type CloudHubPort, type NodeLinks } from "#cloud/cloud-hub/sessions";
import { readUpstream } from "#internal/cloud/cloud-hub/codec/index.ts";
import type { Clock } from "#shared/clock";
import { encode, type WireMessage } from "#shared/wire";
import { silentLog } from "#internal/test/support/silent-log.ts";

/** The messages of a hub without sockets: the test is all nodes, in frames of the wire, and the bus has the real codec. */
export interface WireHub extends Disposable {
  /** A message of a node. Resolves once it is answered, or will not be. */
  receive(node: string, message: WireMessage): Promise<void>;
}

export function startWireHub(
  port: CloudHubPort,
  clock: Clock,
  sent: (node: string, message: WireMessage) => void,
): WireHub {
  const links: NodeLinks = {
    send: (node, message) => sent(node, JSON.parse(message.encode()) as WireMessage),
    ask: () => Promise.reject(new Error("no node answers questions here")),
    command: () => Promise.reject(new Error("no node takes commands here")),
    openStream: () => {
      throw new Error("no node has streams here");
    },
  };
  const upstream = new Upstream({ ...links, port, devices: true, rules: false, clock, log: silentLog() });
  const deliveries = answerDeliveries(port, links, clock);
  return {
    receive: async (node, message) => {
      const read = readUpstream(node, encode(message));
      if (read.kind !== "request" && read.kind !== "unserved" && read.kind !== "twin")
        throw new Error(`not for a module: ${read.kind}`);
      await upstream.forward(node, read);
    },
    [Symbol.dispose]: () => deliveries[Symbol.dispose](),
  };
}
