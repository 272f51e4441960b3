export type {
  AskedNames,
  Authority,
  CertifiedUsage,
  CertifyOptions,
  IssueOptions,
  KeyPair,
  OpenedRequest,
  SignedRequest,
  Subject,
} from "./authority.ts";
export {
  canonicalHost,
  identifyCertificate,
  isSignedBy,
  readCertificate,
  type CertificateId,
  type CertificateInfo,
} from "./certificate.ts";
export { createAuthority, createNodeRequest, loadAuthority } from "./on-demand.ts";
export { fromPem, toPem } from "./pem.ts";
export type { CertificateRequest } from "./request.ts";
export { subjectOfCertificate, subjectOfRequest, type SubjectNames } from "./subject.ts";
export { findTlsFaults, isKeyPair, type TlsFault, type TlsFiles } from "./tls-files.ts";
export {
  createToken,
  fingerprintOf,
  inspectToken,
  splitToken,
  type InspectedToken,
  type SplitToken,
  type TokenVerdict,
} from "./token.ts";
