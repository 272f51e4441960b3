import type { Port } from "#shared/bus";
import type { EdgeCatalog } from "#shared/topics";

export type DeviceRulesPort = Port<
  EdgeCatalog,
  "mqtt.publish" | "event.recorded" | "outbox.added",
  "device.desire",
  "device.reported" | "device-rule.changed",
  never
>;
