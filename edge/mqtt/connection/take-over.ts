import { nextTurn } from "#shared/clock";
import type { OutboundBacklog } from "#edge/mqtt/flow";
import type { Inbound } from "#edge/mqtt/packet";
import { newInbox, type Inbox, type Sessions } from "#edge/mqtt/sessions";
import type { BrokerClient } from "./client.ts";
import { mostUnsentBytes } from "./in-flight.ts";
import { takePackets } from "./intake.ts";
import { enforceProtocol } from "./protocol-rules.ts";
import { readInTurns } from "./reading.ts";

export interface TakeOverOptions {
  readonly brokerId: string;
  readonly backlog: OutboundBacklog;
  readonly maxPacketBytes: number;
  /** Handles what a client publishes and subscribes to. */
  readonly take: (client: BrokerClient, packet: Inbound) => void;
  readonly sessions: Sessions;
}

/**
 * Replaces what aedes would do wrong on a connection:
 * - it lets packets pass that the standard forbids: see `enforceProtocol`;
 * - it acknowledges before anything is stored: publications and subscriptions go to `take`, and nothing more is read
 *   until they are handled;
 * - it writes without a bound: everything goes through an `Outbound`;
 * - it takes a message that a later one overtook for a duplicate: nothing is remembered, since the fan-out delivers once;
 * - it starts message ids at random and may use one twice: they start at 1 and skip those in use.
 */
export function takeOverClient(client: BrokerClient, options: TakeOverOptions): void {
  enforceProtocol(client._parser, client.conn, {
    maxPacketBytes: options.maxPacketBytes,
    version: () => client.version ?? undefined,
  });
  client.outbound = options.backlog.open(client.conn, () => client.identity?.clientId ?? client.id ?? "");
  client.waitForDrain = (done) => void waitForDrain(client, done);
  readInTurns(client);
  takePackets(client, options.take);
  numberFromOne(client, options.sessions);
  client.duplicates = {
    get [options.brokerId]() {
      return 0;
    },
    set [options.brokerId](_: number) {
      // Nothing is remembered.
    },
  };
}

async function waitForDrain(
  client: BrokerClient,
  done: Parameters<BrokerClient["waitForDrain"]>[0],
): Promise<void> {
  const { outbound, conn } = client;
  await outbound.drained(mostUnsentBytes);
  // A turn of the event loop between two pieces, as in aedes, which would recurse otherwise.
  await nextTurn();
  done(conn.destroyed ? new Error("connection closed") : null, client);
}

/** Message ids of QoS 2 received from a client: kept with its session, or with the connection if the session is clean. */
export function inboxOf(client: BrokerClient, sessions: Sessions): Inbox {
  return client.clean ? (client.inbox ??= newInbox()) : sessions.inbox(client.id ?? "");
}

/** A session may still have messages in flight from earlier connections: their ids are in use (section 2.3.1). */
function numberFromOne(client: BrokerClient, sessions: Sessions): void {
  let next = 1;
  const isInUse = (id: number): boolean =>
    client.awaited?.has(id) === true || (!client.clean && sessions.isInFlight(client.id ?? "", id));
  Object.defineProperty(client, "_nextId", {
    get: () => {
      for (let tries = 0; tries < 65_535 && isInUse(next); tries += 1) next = (next % 65_535) + 1;
      return next;
    },
    set: (id: number) => {
      next = id;
    },
  });
}
