/** Signs CertificateSigningRequests, and removes old ones. */
export { startCertificateSigner, type SigningDeps } from "./signer.ts";
