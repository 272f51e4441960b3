export { describeDevice, liveTwins, shownTwins, wireAttributes } from "./description.ts";
export {
  commandsFor,
  unsendable,
  newDevice,
  topicNames,
  type BoundDevice,
  type DeviceAttribute,
} from "./device.ts";
export { readMember } from "./member-name.ts";
export { DeviceRegistry } from "./registry.ts";
