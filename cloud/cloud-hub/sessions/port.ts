import type { Port } from "#shared/bus";
import type { CloudCatalog } from "#shared/topics";

/** What the hub may say, ask, hear and answer on the bus. */
export type CloudHubPort = Port<
  CloudCatalog,
  "node.message" | "twin.message" | "node.connected" | "node.disconnected" | "object.acked",
  "object.sending" | "node.upload",
  "node.close",
  "node.send" | "node.request"
>;
