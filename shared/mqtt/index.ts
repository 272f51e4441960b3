export {
  devicePrefix,
  deviceTopic,
  nodePrefix,
  parseDeviceTopic,
  parseMembershipTopic,
  uploadFilters,
  type DeviceTopic,
  type DeviceVerb,
} from "./device-topics.ts";
export { parseMqttAddress, type MqttAddress } from "./address.ts";
export { TopicTrie, isTopicFilter, topicMatches } from "./topic-filter.ts";
