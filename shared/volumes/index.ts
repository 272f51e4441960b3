/** Where the volumes of claims are on their nodes. */
export { removerOf } from "./released-volume.ts";
export { claimSourceOf, volumeSourceOf, withClaimSource, type ClaimSource } from "./claim-source.ts";
