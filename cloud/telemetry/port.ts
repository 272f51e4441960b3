import type { Port } from "#shared/bus";
import type { CloudCatalog } from "#shared/topics";

/** What telemetry may say, ask, hear and answer on the bus. */
export type TelemetryPort = Port<
  CloudCatalog,
  "node.close",
  "device.find" | "device.history",
  never,
  "device.upload"
>;
