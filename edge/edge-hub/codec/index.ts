/**
 * The only place of the edge that knows KubeEdge's messages: what the cloud sends becomes typed deliveries, what modules
 * ask becomes messages, and what they report becomes frames for the outbox.
 */
export { decodeObject, decodeTwin, decodeUser } from "./deliveries.ts";
export {
  leaseRequests,
  memberRequests,
  nodeRequests,
  objectRequests,
  podRequests,
  tokenRequests,
  type RequestCodec,
} from "./requests.ts";
export {
  encodeDeviceState,
  encodeDiscovery,
  encodeEvent,
  encodePodDeletion,
  encodePodStatus,
  encodeTwinReport,
  encodeUpload,
  eventMessage,
  isUploadTooLarge,
} from "./reports.ts";
export type { Stamp } from "#shared/wire";
export { judgeReply, type Verdict } from "./verdict.ts";
