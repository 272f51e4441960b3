import { asRecord, asText, isRecord } from "#shared/json";
import type { KubeObject } from "#shared/kube";

/**
 * Where the volume of a claim is on its node: a field of the claim as it is delivered, so that the node needs one object. The
 * API keeps no fields that claims do not have, so that no author of a claim can write it.
 */
const sourceField = "kubeedgeVolumeSource";

/** A directory of an NFS server. */
export interface NfsSource {
  readonly server: string;
  readonly path: string;
  readonly readOnly: boolean;
  /** As of `mount -o`. */
  readonly options: readonly string[];
}

/** A directory or file of the node, or of a server. */
export interface ClaimSource {
  /** Then all else says nothing. */
  readonly nfs?: NfsSource;
  /** What no node serves: "csi, driver ebs.csi.aws.com". Then all else says nothing. */
  readonly unserved?: string;
  readonly path: string;
  /** As of hostPath; empty for no check. */
  readonly type: string;
  /** Made for the claim, and not by an operator. */
  readonly isProvisioned: boolean;
  /** Whether the group of a pod may be given to its files: those of a hostPath are somebody else's. */
  readonly isOwnable: boolean;
}

/** The claim with the place of its volume. */
export function withClaimSource(claim: KubeObject, volume: KubeObject): KubeObject {
  return { ...claim, [sourceField]: volumeSourceOf(volume) };
}

/** The place that a delivered claim names; undefined when it names none. */
export function claimSourceOf(claim: KubeObject): ClaimSource | undefined {
  const kept = asRecord(claim[sourceField]);
  if (!kept) return undefined;
  const { nfs, unserved } = kept;
  if (isRecord(nfs)) return { ...nowhere, nfs: nfsOf(nfs, nfs["options"]) };
  if (typeof unserved === "string") return { ...nowhere, unserved };
  return {
    path: asText(kept["path"]),
    type: asText(kept["type"]),
    isProvisioned: kept["isProvisioned"] === true,
    isOwnable: kept["isOwnable"] === true,
  };
}

const nowhere = { path: "", type: "", isProvisioned: false, isOwnable: false } as const;

/** The `nfs` of a pod's volume, or of a PersistentVolume, with the options it is to be mounted with. */
export function nfsOf(given: Readonly<Record<string, unknown>>, options: unknown = []): NfsSource {
  return {
    server: asText(given["server"]),
    path: asText(given["path"]),
    readOnly: given["readOnly"] === true,
    options: (Array.isArray(options) ? options : []).map(asText).filter((option) => option !== ""),
  };
}

/** Fields of a PersistentVolume that are beside its source. */
const besides = new Set([
  "accessModes",
  "capacity",
  "claimRef",
  "mountOptions",
  "nodeAffinity",
  "persistentVolumeReclaimPolicy",
  "storageClassName",
  "volumeAttributesClassName",
  "volumeMode",
]);

/** What a volume is that no node serves: its kind, and the driver where it names one. */
export function unservedKind(source: Readonly<Record<string, unknown>>): string {
  const [kind = "unknown", value] = Object.entries(source).find(([, given]) => isRecord(given)) ?? [];
  const driver = asText(asRecord(value)?.["driver"]);
  return driver === "" ? kind : `${kind}, driver ${driver}`;
}

/** Where a PersistentVolume is. */
export function volumeSourceOf({ metadata, ...volume }: KubeObject): ClaimSource {
  const spec = asRecord(volume["spec"]) ?? {};
  const nfs = asRecord(spec["nfs"]);
  const old = metadata.annotations?.["volume.beta.kubernetes.io/mount-options"];
  if (nfs) return { ...nowhere, nfs: nfsOf(nfs, old?.split(",") ?? spec["mountOptions"]) };
  const hostPath = asRecord(spec["hostPath"]);
  const local = asRecord(spec["local"]);
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
    : { ...nowhere, unserved: unservedKind(withoutBesides(spec)) };
}

function withoutBesides(spec: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(spec).filter(([field]) => !besides.has(field)));
}
