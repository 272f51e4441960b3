import type { OutboundBacklog } from "#edge/mqtt/flow";
import type { Inbound } from "#edge/mqtt/packet";
import { newInbox, type Inbox, type Sessions } from "#edge/mqtt/sessions";
import type { BrokerClient } from "./client.ts";
import { mostUnsent } from "./in-flight.ts";
import { takePackets } from "./intake.ts";
import { holdToRules } from "./protocol-rules.ts";
import { readInTurn } from "./reading.ts";

export interface TakeOverOptions {
  readonly brokerId: string;
  readonly backlog: OutboundBacklog;
  readonly maxPacketBytes: number;
  /** Takes over what a client publishes and subscribes to. */
  readonly take: (client: BrokerClient, packet: Inbound) => void;
  readonly sessions: Sessions;
}

/**
 * Corrects what aedes does with a connection: the rules it does not hold clients to (see `holdToRules`); what a client
 * publishes and subscribes to goes to `take`, and nothing more is read before it is dealt with; what is written to a
 * client goes through its `Outbound`; a message is not taken for a duplicate because one published later overtook it (the
 * fan-out delivers once); and ids begin at 1 and are not given twice.
 */
export function takeOverClient(client: BrokerClient, options: TakeOverOptions): void {
  holdToRules(client._parser, client.conn, {
    maxPacketBytes: options.maxPacketBytes,
    version: () => client.version ?? undefined,
  });
  client.outbound = options.backlog.open(client.conn, () => client.identity?.clientId ?? client.id ?? "");
  client.waitForDrain = (done) => {
    const { outbound, conn } = client;
    void outbound
      .drained(mostUnsent)
      .then(() => setImmediate(done, conn.destroyed ? new Error("connection closed") : null, client));
  };
  readInTurn(client);
  takePackets(client, options.take);
  numberFromOne(client, options.sessions);
  client.duplicates = {
    get [options.brokerId]() {
      return 0;
    },
    set [options.brokerId](_: number) {
      // Nothing is remembered: an overtaken message would look like a duplicate.
    },
  };
}

/** What a client has sent with QoS 2: kept with its session, or with the connection when that ends with it. */
export function inboxOf(client: BrokerClient, sessions: Sessions): Inbox {
  return client.clean ? (client.inbox ??= newInbox()) : sessions.inbox(client.id ?? "");
}

/** aedes begins anywhere, and a session that comes back may still have messages under the ids that follow. */
function numberFromOne(client: BrokerClient, sessions: Sessions): void {
  let next = 1;
  const isGiven = (id: number): boolean =>
    client.awaited?.has(id) === true || (!client.clean && sessions.isUnderWay(client.id ?? "", id));
  Object.defineProperty(client, "_nextId", {
    get: () => {
      for (let tries = 0; tries < 65_535 && isGiven(next); tries += 1) next = (next % 65_535) + 1;
      return next;
    },
    set: (id: number) => {
      next = id;
    },
  });
}
