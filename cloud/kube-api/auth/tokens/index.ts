/** Tokens of ServiceAccounts: keys, signatures and requests. */
export { signingKeys } from "./signing-keys.ts";
export { requestToken, type TokenParts } from "./token-requests.ts";
export { TokenSigner, type TokenClaims } from "./tokens.ts";
