import type { Sessions } from "#edge/mqtt/sessions";
import { newInbox, type Inbox } from "#edge/mqtt/stored";
import type { BrokerClient } from "./client.ts";

/** Message ids of QoS 2 received from a client: kept with its session, or with the connection if the session is clean. */
export function inboxOf(client: BrokerClient, sessions: Sessions): Inbox {
  return client.clean ? (client.inbox ??= newInbox()) : sessions.inbox(client.id);
}
