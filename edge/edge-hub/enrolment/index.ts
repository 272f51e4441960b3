/** How a node gets the certificate of its link to the cloud, and keeps it valid. */
export type { Credentials } from "./certificates.ts";
export { EnrolRefused, explainConnectError } from "./enrol.ts";
export { Identity, type IdentityConfig } from "./identity.ts";
