/** Where the volumes of claims are on their nodes. */
export { claimSourceOf, volumeSourceOf, withClaimSource, type ClaimSource } from "./claim-source.ts";
