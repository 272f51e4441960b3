export { describeDevice, liveTwins, shownTwins, wireAttributes } from "./description.ts";
export { commandsFor, newDevice, topicNames, type Attribute, type Device } from "./device.ts";
export { Registry } from "./registry.ts";
