/** The CA of a cloudcore and the certificates it gives itself. */
export { ensureCertificates, type CertificateOptions, type CloudCertificates } from "./certificates.ts";
export { newCaOperation } from "./new-ca.ts";
export { ensureClientAuthority, ensureProxyAuthority, readPem } from "./authority.ts";
