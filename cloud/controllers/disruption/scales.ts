import { controllerOf, type ControllerDeps } from "#cloud/controllers/framework";
import type { KubeObject, OwnerReference, Pod } from "#shared/kube";

/** How many pods the controllers of some pods want in all, or why that cannot be said. */
export type Scale =
  { readonly replicas: number; readonly unmanaged: readonly Pod[] } | { readonly fault: string };

type ScaleDeps = Pick<
  ControllerDeps,
  "deployments" | "replicaSets" | "replicationControllers" | "statefulSets"
>;

/** As getExpectedScale of disruption.go: a Deployment counts once for all of its ReplicaSets. */
export function scaleOf(deps: ScaleDeps, pods: readonly Pod[]): Scale {
  const replicas = new Map<string, number>();
  const unmanaged: Pod[] = [];
  for (const pod of pods) {
    const owner = controllerOf(pod);
    if (!owner) {
      unmanaged.push(pod);
      continue;
    }
    const found = findScaled(deps, pod, owner);
    if (typeof found === "string") return { fault: found };
    if (found) replicas.set(found.metadata.uid ?? "", found.spec.replicas ?? 1);
  }
  return { replicas: [...replicas.values()].reduce((sum, count) => sum + count, 0), unmanaged };
}

/** A workload that can be scaled. */
export type Scaled = KubeObject & { spec: { replicas?: number } };

/** What scales a pod: undefined when it is being deleted, a text when its kind cannot be scaled. */
function findScaled(deps: ScaleDeps, { metadata }: Pod, owner: OwnerReference): Scaled | string | undefined {
  const namespace = metadata.namespace ?? "";
  const find = (
    informer: { get: (key: string) => Scaled | undefined },
    { name, uid }: OwnerReference,
  ): Scaled | undefined => {
    const found = informer.get(`${namespace}/${name}`);
    return found?.metadata.uid === uid ? found : undefined;
  };
  switch (owner.kind) {
    case "ReplicaSet": {
      const replicaSet = find(deps.replicaSets, owner);
      const parent = replicaSet && controllerOf(replicaSet);
      return parent?.kind === "Deployment" ? find(deps.deployments, parent) : replicaSet;
    }
    case "ReplicationController":
      return find(deps.replicationControllers, owner);
    case "StatefulSet":
      return find(deps.statefulSets, owner);
    default:
      return `found no controllers for pod ${JSON.stringify(metadata.name ?? "")}: ${owner.kind} ${owner.apiVersion} does not implement the scale subresource`;
  }
}
