import type { Port } from "#shared/bus";
import type { CloudCatalog } from "#shared/topics";

/** What the device controller emits, asks, subscribes to and answers on the bus. */
export type DeviceControllerPort = Port<
  CloudCatalog,
  never,
  "object.deliver" | "object.sending" | "object.delivered" | "membership.deliver",
  "node.connected" | "node.resync",
  | "device.report"
  | "device.discovered"
  | "device.rule-status"
  | "device.desire"
  | "membership.list"
  | "device.find"
  | "device.concerns"
>;
