import { ignoreMissing, objectAt, resources, type ResourceType } from "#cloud/kube-client";
import { isDeleting, WorkQueue, type ControllerDeps } from "#cloud/controllers/framework";
import { isFinished } from "#cloud/controllers/workloads/pods";
import { objectKey, type KubeObject, type Pod } from "#shared/kube";
import { claimNamesOf } from "./match.ts";

const claimFinalizer = "kubernetes.io/pvc-protection";
const volumeFinalizer = "kubernetes.io/pv-protection";

type ProtectionDeps = Pick<
  ControllerDeps,
  "kube" | "clock" | "log" | "pods" | "persistentVolumeClaims" | "persistentVolumes"
>;

/** Lets deleted claims and volumes go once no pod, or no claim, uses them; as pvcprotection and pvprotection upstream. */
export function startStorageProtection(deps: ProtectionDeps): AsyncDisposable {
  const { kube, pods, persistentVolumeClaims: claims, persistentVolumes: volumes } = deps;
  const claimQueue = new WorkQueue({
    ...deps,
    name: "claim-protection",
    reconcile: async (key) => {
      const claim = claims.get(key);
      if (claim && isDeleting(claim) && !isUsed(pods.list(), claim))
        await release(deps, resources.persistentVolumeClaims, { object: claim, finalizer: claimFinalizer });
    },
  });
  const volumeQueue = new WorkQueue({
    ...deps,
    name: "volume-protection",
    reconcile: async (key) => {
      const volume = volumes.get(key);
      if (!volume || !isDeleting(volume)) return;
      // The local copy may not show yet that it was bound.
      const fresh = await kube.find(resources.persistentVolumes, { name: key });
      const isBound = volume.status?.phase === "Bound";
      if (fresh && !isBound)
        await release(deps, resources.persistentVolumes, { object: fresh, finalizer: volumeFinalizer });
    },
  });
  const wake = (pod: Pod): void => {
    for (const name of claimNamesOf(pod)) claimQueue.add(`${pod.metadata.namespace ?? ""}/${name}`);
  };
  const watches = [
    claims.watch(whenDeleting(claimQueue)),
    volumes.watch(whenDeleting(volumeQueue)),
    pods.watch({ updated: (pod) => (isFinished(pod) ? wake(pod) : undefined), removed: wake }),
  ];
  return {
    [Symbol.asyncDispose]: async () => {
      for (const watch of watches) watch[Symbol.dispose]();
      await claimQueue[Symbol.asyncDispose]();
      await volumeQueue[Symbol.asyncDispose]();
    },
  };
}

function whenDeleting(queue: WorkQueue): {
  added(object: KubeObject): void;
  updated(object: KubeObject): void;
} {
  const check = (object: KubeObject): void => {
    if (isDeleting(object)) queue.add(objectKey(object));
  };
  return { added: check, updated: check };
}

/** A pod that has no node yet does not keep a claim: it would wait for one that is being deleted. */
function isUsed(pods: readonly Pod[], { metadata }: KubeObject): boolean {
  return pods.some(
    (pod) =>
      pod.metadata.namespace === metadata.namespace &&
      Boolean(pod.spec.nodeName) &&
      !isFinished(pod) &&
      claimNamesOf(pod).includes(metadata.name ?? ""),
  );
}

async function release(
  { kube }: ProtectionDeps,
  type: ResourceType,
  { object, finalizer }: { readonly object: KubeObject; readonly finalizer: string },
): Promise<void> {
  const { uid, resourceVersion, finalizers = [] } = object.metadata;
  if (!finalizers.includes(finalizer)) return;
  const left = finalizers.filter((one) => one !== finalizer);
  const metadata = { uid, resourceVersion, finalizers: left.length > 0 ? left : null };
  await ignoreMissing(kube.patch(type, objectAt(object), { metadata }, { type: "merge" }));
}
