/** The one room of the cloud that knows how messages look on the wire: between frames and the bodies of the bus. */
export {
  membershipAnswer,
  refusalAnswer,
  reportAnswer,
  requestAnswer,
  uploadAnswer,
  type ReplyAddress,
} from "./answers.ts";
export type { TwinMessage } from "./device-messages.ts";
export { stampOf, type DownstreamMessage, type TrackedObject } from "./downstream-message.ts";
export {
  closeCodes,
  cloudHandshakeHeaders,
  hasStreams,
  largestMessageBytes,
  nodeDatabaseOf,
} from "./handshake.ts";
export { membershipMessage, objectMessage } from "./objects.ts";
export {
  commandMessage,
  readServiceReply,
  serviceMessage,
  targetAnswer,
  targetFailure,
} from "./rule-messages.ts";
export { adoptMessage, historyMessage, readHistory, type NodeReply } from "./questions.ts";
export { readUpstream, type ModuleMessage, type UpstreamMessage } from "./upstream-message.ts";
