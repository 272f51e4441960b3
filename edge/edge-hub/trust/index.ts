/**
 * Whether the cloud at the other end of the link may change what this node runs. A cloud that lost its database lists
 * nothing for this node, and everything here would be removed: it is held back until an operator adopts it.
 */
export { CloudTrust, type CloudTrustParts } from "./trust.ts";
