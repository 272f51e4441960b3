export {
  createAuthority,
  isSignedBy,
  loadAuthority,
  readCertificate,
  type Authority,
  type CertificateInfo,
  type IssueOptions,
  type KeyPair,
  type Subject,
} from "./authority.ts";
export { fromPem, toPem } from "./pem.ts";
export { createNodeRequest, type CertificateRequest } from "./request.ts";
export {
  createToken,
  fingerprintOf,
  splitToken,
  verifyToken,
  type SplitToken,
  type TokenVerdict,
} from "./token.ts";
