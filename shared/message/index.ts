export type {
  AckedObject,
  CloudCatalog,
  CloudDatabase,
  DeliveredObject,
  Delivery,
  DevicePlace,
  EdgeCatalog,
  MqttMessage,
  NodeMessage,
  ObjectChange,
  ObjectName,
  PodName,
  PodVerdict,
} from "./catalog.ts";
export { decode, encode, type Decoded } from "./codec.ts";
export {
  deviceOfHistory,
  deviceOfTopic,
  devicePrefix,
  deviceTopic,
  historyResource,
  nodePrefix,
  parseDeviceTopic,
  parseMembershipTopic,
  type DeviceTopic,
  type DeviceVerb,
} from "./device-topics.ts";
export { parseMqttAddress, type MqttAddress } from "./mqtt-address.ts";
export { TopicTrie, isTopicFilter, topicMatches } from "./topic-filter.ts";
export { formatResource, parseResource, type ResourcePath } from "./resource.ts";
export {
  acknowledge,
  newMessage,
  responseTo,
  type NewMessage,
  type Stamp,
  type WireHeader,
  type WireMessage,
  type WireRoute,
} from "./wire.ts";
export {
  adoptRoute,
  answersAllHeader,
  closeCodes,
  cloudGroup,
  databaseHeader,
  largestMessageBytes,
  defaultProjectId,
  groups,
  leaseNamespace,
  noNamespace,
  nodeNamespace,
  ok,
  operations,
  resourceTypes,
  sources,
} from "./words.ts";
