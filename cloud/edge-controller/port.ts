import type { Port } from "#shared/bus";
import type { CloudCatalog } from "#shared/topics";

/** What the edge controller may say, ask, hear and answer on the bus. */
export type EdgeControllerPort = Port<
  CloudCatalog,
  "node.close",
  "object.deliver" | "object.delivered" | "device.concerns",
  "node.connected" | "node.resync",
  "node.request"
>;
