import { controllerOf, findCustom, type ControllerDeps, type Scale } from "#cloud/controllers/framework";
import { isKubeError } from "#cloud/kube-client";
import type { KubeObject, OwnerReference, Pod } from "#shared/kube";

/** How many pods the controllers of some pods want in all, or why that cannot be said. */
export type ExpectedPods =
  { readonly replicas: number; readonly unmanaged: readonly Pod[] } | { readonly fault: string };

type ScaleDeps = Pick<
  ControllerDeps,
  "kube" | "deployments" | "replicaSets" | "replicationControllers" | "statefulSets"
>;

/** As getExpectedScale of disruption.go: a Deployment counts once for all of its ReplicaSets. */
export async function expectedPods(deps: ScaleDeps, pods: readonly Pod[]): Promise<ExpectedPods> {
  const replicas = new Map<string, number>();
  const unmanaged: Pod[] = [];
  const asked = new Map<string, Scaled | string | undefined>();
  for (const pod of pods) {
    const owner = controllerOf(pod);
    if (!owner) {
      unmanaged.push(pod);
      continue;
    }
    if (!asked.has(owner.uid)) asked.set(owner.uid, await findScaled(deps, pod, owner));
    const found = asked.get(owner.uid);
    if (typeof found === "string") return { fault: found };
    if (found) replicas.set(found.metadata.uid ?? "", found.spec.replicas ?? 1);
  }
  return { replicas: [...replicas.values()].reduce((sum, count) => sum + count, 0), unmanaged };
}

/** A workload that can be scaled. */
export type Scaled = KubeObject & { spec: { replicas?: number } };

/** What scales a pod: undefined when it is being deleted, a text when its kind cannot be scaled. */
async function findScaled(
  deps: ScaleDeps,
  { metadata }: Pod,
  owner: OwnerReference,
): Promise<Scaled | string | undefined> {
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
      return (
        (await findCustomScale(deps, namespace, owner)) ??
        `found no controllers for pod ${JSON.stringify(metadata.name ?? "")}: ${owner.kind} ${owner.apiVersion} does not implement the scale subresource`
      );
  }
}

/** The scale of a custom resource that owns pods; undefined when it has none. */
async function findCustomScale(
  { kube }: ScaleDeps,
  namespace: string,
  { apiVersion, kind, name, uid }: OwnerReference,
): Promise<Scaled | undefined> {
  const [group = "", version = ""] = apiVersion.includes("/") ? apiVersion.split("/") : ["", apiVersion];
  const type = await findCustom(kube, { group, version, kind });
  if (!type) return undefined;
  try {
    const scale = await kube.get<Scale>(type, { namespace, name }, { subresource: "scale" });
    const { replicas = 0 } = scale.spec ?? {};
    return scale.metadata.uid === uid ? { metadata: scale.metadata, spec: { replicas } } : undefined;
  } catch (error) {
    if (!isKubeError(error, 404, 405)) throw error;
    return undefined;
  }
}
