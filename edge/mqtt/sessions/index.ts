export { newInbox, type Inbox } from "./inboxes.ts";
export type { BrokerPacket, QoS } from "./session-queue.ts";
export { clientIdOf, sessionName } from "./session-name.ts";
export { weightOf } from "./subscription-weight.ts";
export {
  sessionMarker,
  Sessions,
  type SessionCounts,
  type SessionLimits,
  type Stored,
  type Subscription,
} from "./sessions.ts";
