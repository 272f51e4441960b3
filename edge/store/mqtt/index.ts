/** What the MQTT brokers keep over a restart. */
export { MqttOutgoing, type OutgoingRow } from "./outgoing.ts";
export {
  MqttSessions,
  type ClockRow,
  type PacketRow,
  type RetainedRow,
  type SessionRow,
  type SubscriptionRow,
} from "./sessions.ts";
