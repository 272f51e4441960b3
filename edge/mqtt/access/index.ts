export type { LoginRefusal, LoginAttempt } from "./passwords.ts";
export { Access, type AdmissionResult, type ClientCredentials, type ClientIdentity } from "./access.ts";
