import { isDeleting, type PersistentVolume, type PersistentVolumeClaim } from "#cloud/controllers/framework";
import type { Node, Pod } from "#shared/kube";
import {
  claimNamesOf,
  findVolume,
  isDelayed,
  isOnNode,
  isProvisioned,
  selectedNodeAnnotation,
  type StorageView,
} from "./match.ts";

/** The claims of a pod, as the scheduler has to consider them. */
export interface PodVolumes {
  /** Volumes of claims that are bound. */
  readonly bound: readonly PersistentVolume[];
  /** Claims that are bound when their pod has a node, or are being bound. */
  readonly open: readonly PersistentVolumeClaim[];
  readonly view: StorageView;
}

/** The claims of a pod, or why it can run nowhere; undefined without claims. Follows kube-scheduler's VolumeBinding plugin. */
export function podVolumesOf(pod: Pod, view: StorageView): PodVolumes | string | undefined {
  const names = claimNamesOf(pod);
  if (names.length === 0) return undefined;
  const bound: PersistentVolume[] = [];
  const open: PersistentVolumeClaim[] = [];
  for (const name of names) {
    const claim = view.claim(`${pod.metadata.namespace ?? ""}/${name}`);
    const fault = claimFault(name, claim);
    if (!claim || fault !== undefined) return fault;
    const { volumeName = "" } = claim.spec;
    const volume = claim.status?.phase === "Bound" ? view.volume(volumeName) : undefined;
    if (volume) bound.push(volume);
    else if (isDelayed(claim, view)) open.push(claim);
    else return "pod has unbound immediate PersistentVolumeClaims";
  }
  return { bound, open, view };
}

/** Why no pod can use the claim, on whichever node. */
function claimFault(name: string, claim: PersistentVolumeClaim | undefined): string | undefined {
  const subject = `persistentvolumeclaim ${JSON.stringify(name)}`;
  if (!claim) return `${subject} not found`;
  if (isDeleting(claim)) return `${subject} is being deleted`;
  return claim.status?.phase === "Lost"
    ? `${subject} bound to non-existent persistentvolume "${claim.spec.volumeName ?? ""}"`
    : undefined;
}

/** Why a node cannot have the pod's volumes, undefined when it can. */
export function volumeObstacle(volumes: PodVolumes, node: Node): string | undefined {
  if (!volumes.bound.every((volume) => isOnNode(volume, node)))
    return "node(s) had volume node affinity conflict";
  return decide(volumes, node) ? undefined : "node(s) didn't find available persistent volumes to bind";
}

/** How a claim is bound on a node: to a volume that is there, or to one that is made. */
export interface ClaimDecision {
  readonly claim: PersistentVolumeClaim;
  readonly volume: PersistentVolume | undefined;
}

/** How each open claim is bound on a node; undefined when one cannot be. */
export function decide({ open, view }: PodVolumes, node: Node): ClaimDecision[] | undefined {
  const taken = new Set<string>();
  const decisions: ClaimDecision[] = [];
  for (const claim of open) {
    const volume = findVolume(claim, view.volumes(), { node, taken });
    const selected = claim.metadata.annotations?.[selectedNodeAnnotation] ?? node.metadata.name;
    if (!volume && !(isProvisioned(claim, view) && selected === node.metadata.name)) return undefined;
    if (volume) taken.add(volume.metadata.name ?? "");
    decisions.push({ claim, volume });
  }
  return decisions;
}
