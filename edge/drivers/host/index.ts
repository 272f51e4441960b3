/** Keeps devices and their twins in step by a driver. */
export { DriverHost, type DriverHostParts } from "./driver-host.ts";
export { connectionProblem, DeviceRunner } from "./device-runner.ts";
export { LinkPool } from "./link-pool.ts";
