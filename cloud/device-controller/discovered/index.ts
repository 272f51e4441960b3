/** Devices that nodes found by themselves, and how they become Device and DeviceModel. */
export { DiscoveredDevices, readDiscovered } from "./discovered-devices.ts";
