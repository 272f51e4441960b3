/** Whether a change is on disk when it is answered, or within `database.flush-ms` after that. */
export type Durability = "durable" | "buffered";

/** What a client may expect of a message: with QoS 0 nothing is acknowledged, and the message itself may be lost on its way. */
export function durabilityOf(qos: number | undefined): Durability {
  return qos === 0 ? "buffered" : "durable";
}
