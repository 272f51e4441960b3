export type { Authority, IssueOptions, KeyPair, Subject } from "./authority.ts";
export { isSignedBy, readCertificate, type CertificateInfo } from "./certificate.ts";
export { createAuthority, createNodeRequest, loadAuthority } from "./on-demand.ts";
export { fromPem, toPem } from "./pem.ts";
export type { CertificateRequest } from "./request.ts";
export { findTlsFaults, type TlsFault, type TlsFiles } from "./tls-files.ts";
export {
  createToken,
  fingerprintOf,
  splitToken,
  verifyToken,
  type SplitToken,
  type TokenVerdict,
} from "./token.ts";
