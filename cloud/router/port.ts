import type { Port } from "#shared/bus";
import type { CloudCatalog } from "#shared/topics";

/** What the router asks, subscribes to and answers on the bus. */
export type RouterPort = Port<
  CloudCatalog,
  never,
  "object.deliver" | "object.delivered" | "rule.command" | "service.call" | "stream.open",
  "node.connected" | "node.disconnected" | "node.resync",
  "rule.request" | "rule.upload"
>;
