/** Who may read what on this node while the API cannot be asked, and where the node learns it. */
export { AccessSync } from "./access-sync.ts";
export { KnownAccess, type ApiKeys } from "./known-access.ts";
export { LocalAccess, type Caller, type Verdict } from "./local-access.ts";
export { TokenKeys, type AccountClaims } from "./web-token.ts";
