import type { Port } from "#shared/bus";
import type { CloudCatalog } from "#shared/topics";

/** What telemetry emits, asks, subscribes to and answers on the bus. */
export type TelemetryPort = Port<
  CloudCatalog,
  "node.close",
  "device.find" | "device.history",
  never,
  "device.upload"
>;
