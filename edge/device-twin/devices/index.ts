export { newDevice, Registry, topicNames, type Attribute, type Device } from "./registry.ts";
