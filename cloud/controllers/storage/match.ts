import {
  isDeleting,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type StorageClass,
} from "#cloud/controllers/framework";
import { matchesLabelSelector, parseQuantity, type Node, type Pod } from "#shared/kube";
import { matchesNodeTerms } from "#shared/scheduling";

/** The node that the scheduler chose for the pod of a claim: its volume is made there. */
export const selectedNodeAnnotation = "volume.kubernetes.io/selected-node";
/** The provisioner of classes whose volumes an operator makes. */
const noProvisioner = "kubernetes.io/no-provisioner";

/** The storage of the cluster, as informers show it. */
export interface StorageView {
  readonly claim: (key: string) => PersistentVolumeClaim | undefined;
  readonly volume: (name: string) => PersistentVolume | undefined;
  readonly volumes: () => readonly PersistentVolume[];
  readonly storageClass: (name: string) => StorageClass | undefined;
}

/** Names of the claims that a pod mounts. */
export function claimNamesOf({ spec }: Pod): string[] {
  return (spec.volumes ?? []).flatMap(({ persistentVolumeClaim }) => {
    // The API validated the shape of volumes.
    const { claimName } = (persistentVolumeClaim ?? {}) as { claimName?: string };
    return claimName === undefined ? [] : [claimName];
  });
}

/** Whether the claim is bound only once a pod that uses it is scheduled. */
export function isDelayed(claim: PersistentVolumeClaim, { storageClass }: StorageView): boolean {
  return storageClass(claim.spec.storageClassName ?? "")?.volumeBindingMode === "WaitForFirstConsumer";
}

/** Whether somebody makes volumes for the claim's class. */
export function isProvisioned(claim: PersistentVolumeClaim, { storageClass }: StorageView): boolean {
  const { provisioner = noProvisioner } = storageClass(claim.spec.storageClassName ?? "") ?? {};
  return provisioner !== noProvisioner;
}

export function isOnNode({ spec }: PersistentVolume, node: Node): boolean {
  const terms = spec.nodeAffinity?.required?.nodeSelectorTerms;
  return !terms || matchesNodeTerms(terms, node);
}

export function isFor(
  { spec: { claimRef } }: PersistentVolume,
  { metadata }: PersistentVolumeClaim,
): boolean {
  if (claimRef?.name !== metadata.name || claimRef?.namespace !== metadata.namespace) return false;
  return !claimRef?.uid || claimRef.uid === metadata.uid;
}

interface VolumeQuery {
  /** Where the volume has to be usable. */
  readonly node?: Node;
  /** Names of volumes that other claims of the same pod get. */
  readonly taken?: ReadonlySet<string>;
  /** Only a volume that names the claim already. */
  readonly isReserved?: boolean;
}

/** The volume for a claim: one that names it, or the smallest that is large enough; as FindMatchingVolume. */
export function findVolume(
  claim: PersistentVolumeClaim,
  volumes: readonly PersistentVolume[],
  { node, taken, isReserved = false }: VolumeQuery = {},
): PersistentVolume | undefined {
  const suitable = volumes.filter(
    (volume) =>
      !isDeleting(volume) &&
      taken?.has(volume.metadata.name ?? "") !== true &&
      (volume.spec.claimRef ? isFor(volume, claim) : !isReserved && isFree(volume, claim)) &&
      satisfies(volume, claim) &&
      (!node || isOnNode(volume, node)),
  );
  const reserved = suitable.find(({ spec }) => spec.claimRef);
  return reserved ?? suitable.toSorted(bySize)[0];
}

/** Whether a volume that names no claim may be given to this one. */
function isFree({ spec, metadata, status }: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  const { selector } = claim.spec;
  return (
    (status?.phase ?? "Pending") === "Available" &&
    (!selector || matchesLabelSelector(selector, metadata.labels ?? {})) &&
    (spec.storageClassName ?? "") === (claim.spec.storageClassName ?? "")
  );
}

/** Whether the volume is large enough and can be mounted as the claim asks. */
export function satisfies({ spec }: PersistentVolume, { spec: wanted }: PersistentVolumeClaim): boolean {
  const { accessModes = [], volumeMode = "Filesystem" } = wanted;
  return (
    (spec.volumeMode ?? "Filesystem") === volumeMode &&
    accessModes.every((mode) => spec.accessModes?.includes(mode)) &&
    storageIn(spec.capacity) >= storageIn(wanted.resources?.requests)
  );
}

function bySize(a: PersistentVolume, b: PersistentVolume): number {
  const difference = storageIn(a.spec.capacity) - storageIn(b.spec.capacity);
  if (difference !== 0n) return difference < 0n ? -1 : 1;
  return (a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1;
}

/** Exact, in billionths of a byte; 0 when there is none. */
function storageIn(amounts: Record<string, string> | undefined): bigint {
  return parseQuantity(amounts?.["storage"] ?? "0")?.nano ?? 0n;
}
