/** Kubernetes Events about devices and their node. */
export { DeviceEventRecorder, type DeviceEventRecorderParts } from "./event-recorder.ts";
