export { Enrolling, EnrolmentRefused, type Wanted } from "./enrolling.ts";
export { hashOfJwt, JoinTokens, newTokenId, type JoinToken, type Presented } from "./join-tokens.ts";
export { Limiter } from "./limiter.ts";
export { NodeGate, type GateParts } from "./node-gate.ts";
export { accessNamespace, readRecord, type IssuedCertificate, type NodeRecord } from "./node-record.ts";
export { isSharedName, isTrusted, nodeOfRequest, peerOf, refusePeer, type Peer } from "./peer.ts";
export { emptyRecord, RecordStore } from "./record-store.ts";
export { isDeleted, isNodeName, type Refusal, type ShownCertificate } from "./rules.ts";
export { startSweeper, sweep } from "./sweeper.ts";
