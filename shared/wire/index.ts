export { headerFromJson, headerToJson } from "./http-header.ts";
export { decode, encode, type Decoded } from "./codec.ts";
export { contentText } from "./content-text.ts";
export {
  deviceOfHistory,
  formatResource,
  historyResource,
  parseResource,
  type ResourcePath,
} from "./resource.ts";
export {
  acknowledge,
  bytesOf,
  newMessage,
  responseTo,
  type NewMessage,
  type Stamp,
  type WireHeader,
  type WireMessage,
  type WireRoute,
} from "./message.ts";
export {
  adoptRoute,
  answersAllHeader,
  cloudGroup,
  closeCodes,
  databaseHeader,
  groups,
  largestMessageBytes,
  leaseNamespace,
  noNamespace,
  okText,
  operations,
  resourceTypes,
  sources,
  streamsHeader,
} from "./words.ts";
