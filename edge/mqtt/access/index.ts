export type { Refusal, Visitor } from "./passwords.ts";
export { Access, type Admission, type Credentials, type Identity } from "./access.ts";
