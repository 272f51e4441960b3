/**
 * The only place of the edge that knows KubeEdge's messages: what the cloud sends becomes typed deliveries, what modules
 * ask becomes messages, and what they report becomes frames for the outbox.
 */
export { encodeAnswer, encodeFailure, encodeKeepalive } from "./answers.ts";
export {
  cloudMessage,
  decodeCloudFrame,
  type CloudMessage,
  type DecodedFrame,
  type MessageReceiver,
} from "./cloud-message.ts";
export { decodeObjectDelivery, decodeTwinDelivery, decodeUserDelivery } from "./deliveries.ts";
export {
  closePurpose,
  decodeAdoption,
  handshakeHeaders,
  readPeer,
  silentPeer,
  type CloudPeer,
} from "./handshake.ts";
export {
  desiredRequests,
  encodeRequest,
  eventRequests,
  leaseRequests,
  memberRequests,
  mirrorRequests,
  nodeRequests,
  objectRequests,
  podRequests,
  podTokenRequests,
  targetRequests,
  type OutgoingRequest,
  type RequestCodec,
} from "./requests.ts";
export {
  encodeDeviceState,
  encodeDiscovery,
  encodeRuleStatus,
  encodeEvent,
  encodePodDeletion,
  encodePodStatus,
  encodeTwinReport,
  encodeUpload,
  isUploadTooLarge,
} from "./reports.ts";
export { decodeServiceDelivery, encodeServiceReply } from "./service-messages.ts";
export { readStoredFrame, readStoredReport } from "./stored-frames.ts";
export { judgeReply } from "./verdict.ts";
export type { Stamp } from "#shared/wire";
export { stampOf } from "./stamp.ts";
