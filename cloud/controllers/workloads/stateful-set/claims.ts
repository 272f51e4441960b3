import { isKubeError, objectAt, resources } from "#cloud/kube-client";
import {
  isDeleting,
  type ControllerDeps,
  type PersistentVolumeClaim,
  type StatefulSet,
} from "#cloud/controllers/framework";
import { UnavailableError } from "#shared/errors";
import { apiVersionOf, type OwnerReference, type Pod } from "#shared/kube";
import { claimsOf } from "./stateful-pod.ts";

type ClaimDeps = Pick<ControllerDeps, "kube" | "persistentVolumeClaims">;

/** Says that a claim was made, or not. */
export type ClaimRecorder = (reason: "SuccessfulCreate" | "FailedCreate", message: string) => void;

/**
 * Makes the claims of a number that do not exist. @returns whether a pod may use them now
 * @throws KubeError when the API refuses one
 */
export async function ensureClaims(
  deps: ClaimDeps,
  set: StatefulSet,
  ordinal: number,
  record: ClaimRecorder,
): Promise<void> {
  for (const { name, claim } of claimsOf(set, ordinal)) {
    const found = findClaim(deps, claim);
    // Its protection ends with its last pod; a pod that used it again would keep it for ever.
    if (found && isDeleting(found))
      throw new UnavailableError("claim-deleting", `The claim ${JSON.stringify(name)} is being deleted`);
    if (!found) await createClaim(deps, set, { ordinal, claim, record });
  }
}

function findClaim(deps: ClaimDeps, { metadata }: PersistentVolumeClaim): PersistentVolumeClaim | undefined {
  return deps.persistentVolumeClaims.get(`${metadata.namespace ?? ""}/${metadata.name ?? ""}`);
}

interface NewClaim {
  readonly ordinal: number;
  readonly claim: PersistentVolumeClaim;
  readonly record: ClaimRecorder;
}

async function createClaim(
  { kube }: ClaimDeps,
  set: StatefulSet,
  { ordinal, claim, record }: NewClaim,
): Promise<void> {
  const name = set.metadata.name ?? "";
  const subject = `create Claim ${claim.metadata.name ?? ""} Pod ${name}-${ordinal} in StatefulSet ${name}`;
  try {
    await kube.create(resources.persistentVolumeClaims, claim);
    record("SuccessfulCreate", `${subject} success`);
  } catch (error) {
    // The local copy is behind, or somebody was faster: it is there.
    if (isKubeError(error, 409) && error.reason === "AlreadyExists") return;
    record("FailedCreate", `${subject} failed error: ${error instanceof Error ? error.message : ""}`);
    throw error;
  }
}

/** Whom the claims of a number are deleted with; as persistentVolumeClaimRetentionPolicy demands. */
export async function ownClaims(
  deps: ClaimDeps,
  set: StatefulSet,
  place: { readonly ordinal: number; readonly pod: Pod | undefined; readonly isCondemned: boolean },
): Promise<void> {
  for (const { claim } of claimsOf(set, place.ordinal)) {
    const found = findClaim(deps, claim);
    if (!found || isDeleting(found)) continue;
    const owners = ownersWanted(set, place, found);
    if (!owners) continue;
    const { uid, resourceVersion } = found.metadata;
    const metadata = { uid, resourceVersion, ownerReferences: owners.length > 0 ? owners : null };
    await deps.kube.patch(resources.persistentVolumeClaims, objectAt(found), { metadata }, { type: "merge" });
  }
}

/** Undefined when the claim has the owners that it should have. */
function ownersWanted(
  set: StatefulSet,
  { pod, isCondemned }: { readonly pod: Pod | undefined; readonly isCondemned: boolean },
  { metadata: { ownerReferences = [] } }: PersistentVolumeClaim,
): OwnerReference[] | undefined {
  const { whenDeleted = "Retain", whenScaled = "Retain" } =
    set.spec.persistentVolumeClaimRetentionPolicy ?? {};
  const isScaledAway = isCondemned && whenScaled === "Delete";
  const wanted: OwnerReference[] = [];
  if (whenDeleted === "Delete" && !isScaledAway)
    wanted.push(ownerOf(apiVersionOf(resources.statefulSets), "StatefulSet", set));
  if (pod && isScaledAway) wanted.push(ownerOf("v1", "Pod", pod));
  const ours = new Set([set.metadata.uid, pod?.metadata.uid]);
  const others = ownerReferences.filter(({ uid }) => !ours.has(uid));
  const next = [...others, ...wanted];
  const ids = (owners: readonly OwnerReference[]): string =>
    owners
      .map(({ uid }) => uid)
      .toSorted()
      .join();
  return ids(next) === ids(ownerReferences) ? undefined : next;
}

function ownerOf(apiVersion: string, kind: string, { metadata }: StatefulSet | Pod): OwnerReference {
  return { apiVersion, kind, name: metadata.name ?? "", uid: metadata.uid ?? "" };
}
