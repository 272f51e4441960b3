export { Access, type AdmissionResult, type ClientCredentials, type ClientIdentity } from "./access.ts";
export type { LoginAttempt, LoginRefusal } from "./passwords.ts";
