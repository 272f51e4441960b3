/** Where the volumes of claims are on their nodes. */
export { removerOf } from "./released-volume.ts";
export {
  claimSourceOf,
  nfsOf,
  unservedKind,
  volumeSourceOf,
  withClaimSource,
  type ClaimSource,
  type NfsSource,
} from "./claim-source.ts";
