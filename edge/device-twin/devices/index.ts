export { describeDevice, liveTwins, shownTwins, wireAttributes } from "./description.ts";
export { commandsFor, newDevice, topicNames, type DeviceAttribute, type BoundDevice } from "./device.ts";
export { DeviceRegistry } from "./registry.ts";
