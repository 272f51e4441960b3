export { Access, type Admission, type Credentials, type Identity } from "./access.ts";
