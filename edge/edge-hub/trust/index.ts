/**
 * Whether the cloud at the other end of the link may change what this node runs. A cloud that lost its database
 * knows nothing of this node and would have everything removed: it is held back until an operator adopts it.
 */
export { CloudTrust, type CloudTrustParts } from "./trust.ts";
