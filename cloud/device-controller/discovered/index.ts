/** Devices that nodes found by themselves, and how they become Device and DeviceModel. */
export { readDiscovered } from "./announcement.ts";
export { DiscoveredDevices } from "./discovered-devices.ts";
