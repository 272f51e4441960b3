/** Tokens of service accounts for the volumes of pods: requested from the cloud, and renewed in time. */
export { requestTokens, tokenKey, type PodTokens, type TokenRequest } from "./pod-tokens.ts";
