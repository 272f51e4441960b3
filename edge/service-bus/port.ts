import type { Port } from "#shared/bus";
import type { EdgeCatalog } from "#shared/topics";

/** The topics of the service bus. */
export type ServiceBusPort = Port<
  EdgeCatalog,
  never,
  "rule.list" | "pod.list" | "cloud.target",
  "rules.changed" | "pod.changed",
  "service.stream" | "service.deliver"
>;
