/** How a node gets the certificate of its link to the cloud, and keeps it valid. */
export type { LinkCredentials } from "./certificates.ts";
export { EnrolRefused, explainConnectError } from "./enroll.ts";
export { NodeIdentity, type IdentityConfig } from "./node-identity.ts";
