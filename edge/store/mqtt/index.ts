/** What the MQTT brokers keep over a restart. */
export { MqttOutgoing, type OutgoingRow } from "./outgoing.ts";
export { MqttSessions, type PacketRow, type RetainedRow, type SubscriptionRow } from "./sessions.ts";
