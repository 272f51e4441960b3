import type { Port } from "#shared/bus";
import type { EdgeCatalog } from "#shared/topics";

export type EventBusPort = Port<
  EdgeCatalog,
  never,
  "mqtt.received" | "mqtt.filters",
  "mqtt.publish" | "mqtt.watch",
  "user.deliver"
>;
