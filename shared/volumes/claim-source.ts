import { asRecord, asText } from "#shared/json";
import type { KubeObject } from "#shared/kube";

/**
 * Where the volume of a claim is on its node: a field of the claim as it is delivered, so that the node needs one object. The
 * API keeps no fields that claims do not have, so that no author of a claim can write it.
 */
const sourceField = "kubeedgeVolumeSource";

/** A directory or file of the node. */
export interface ClaimSource {
  readonly path: string;
  /** As of hostPath; empty for no check. */
  readonly type: string;
  /** Made for the claim, and not by an operator. */
  readonly isProvisioned: boolean;
  /** Whether the group of a pod may be given to its files: those of a hostPath are somebody else's. */
  readonly isOwnable: boolean;
}

/** The claim with the place of its volume; without one when the volume is of a kind that no node has. */
export function withClaimSource(claim: KubeObject, volume: KubeObject): KubeObject {
  return { ...claim, [sourceField]: volumeSourceOf(volume) };
}

/** The place that a delivered claim names; undefined when it names none. */
export function claimSourceOf(claim: KubeObject): ClaimSource | undefined {
  const kept = asRecord(claim[sourceField]);
  if (!kept) return undefined;
  return {
    path: asText(kept["path"]),
    type: asText(kept["type"]),
    isProvisioned: kept["isProvisioned"] === true,
    isOwnable: kept["isOwnable"] === true,
  };
}

/** Where a PersistentVolume of kind hostPath or local is; undefined for others. */
export function volumeSourceOf({ metadata, ...volume }: KubeObject): ClaimSource | undefined {
  const spec = asRecord(volume["spec"]);
  const hostPath = asRecord(spec?.["hostPath"]);
  const local = asRecord(spec?.["local"]);
  const isProvisioned = metadata.annotations?.["pv.kubernetes.io/provisioned-by"] !== undefined;
  if (hostPath)
    return {
      path: asText(hostPath["path"]),
      type: asText(hostPath["type"]),
      isProvisioned,
      isOwnable: isProvisioned,
    };
  return local
    ? { path: asText(local["path"]), type: "Directory", isProvisioned, isOwnable: true }
    : undefined;
}
