import type { Port } from "#shared/bus";
import type { EdgeCatalog } from "#shared/topics";

export type EventBusPort = Port<
  EdgeCatalog,
  never,
  "mqtt.received" | "mqtt.filters" | "rule.list",
  "mqtt.publish" | "mqtt.watch" | "rules.changed",
  "user.deliver"
>;
