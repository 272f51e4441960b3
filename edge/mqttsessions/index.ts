export type { BrokerPacket, QoS } from "./session-queue.ts";
export { sessionMarker, Sessions, type SessionCounts, type SessionLimits } from "./sessions.ts";
