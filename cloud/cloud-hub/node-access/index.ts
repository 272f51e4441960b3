export { Enrolling, EnrollmentRefused, type WantedCertificate } from "./enrolling.ts";
export { hashOfJwt, JoinTokens, newTokenId, type JoinToken, type PresentedToken } from "./join-tokens.ts";
export { Limiter } from "./limiter.ts";
export { NodeGate, type GateParts } from "./node-gate.ts";
export {
  accessNamespace,
  emptyRecord,
  readRecord,
  type IssuedCertificate,
  type NodeRecord,
} from "./node-record.ts";
export { isSharedName, isTrusted, nodeOfRequest, peerOf, refusePeer, type PeerCertificate } from "./peer.ts";
export { RecordStore } from "./record-store.ts";
export { isNodeDeleted, isNodeName, type NodeRefusal, type ShownCertificate } from "./rules.ts";
export { startSweeper, sweep } from "./sweeper.ts";
