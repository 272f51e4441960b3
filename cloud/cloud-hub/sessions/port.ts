import type { Port } from "#shared/bus";
import type { CloudCatalog } from "#shared/topics";

/** What the hub emits, asks, subscribes to and answers on the bus. */
export type CloudHubPort = Port<
  CloudCatalog,
  "node.connected" | "node.disconnected" | "object.acked",
  | "node.request"
  | "object.sending"
  | "device.report"
  | "device.discovered"
  | "device.rule-status"
  | "device.upload"
  | "membership.list"
  | "api.stream"
  | "rule.upload"
  | "rule.request",
  "node.close",
  | "object.deliver"
  | "membership.deliver"
  | "device.history"
  | "database.adopt"
  | "stream.open"
  | "rule.command"
  | "service.call"
>;
