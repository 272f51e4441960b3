import { ignoreMissing, resources, type KubeClient, type ResourceType } from "#cloud/kube-client";
import type { KubeObject } from "#shared/kube";

/** Owners before their dependents, so that no controller creates new ones meanwhile. */
const builtin: readonly (readonly [groupVersion: string, kind: string, plural: string])[] = [
  ["apps/v1", "Deployment", "deployments"],
  ["apps/v1", "ReplicaSet", "replicasets"],
  ["apps/v1", "StatefulSet", "statefulsets"],
  ["apps/v1", "DaemonSet", "daemonsets"],
  ["batch/v1", "CronJob", "cronjobs"],
  ["batch/v1", "Job", "jobs"],
  ["v1", "ReplicationController", "replicationcontrollers"],
  ["v1", "Pod", "pods"],
  ["v1", "Service", "services"],
  ["v1", "Endpoints", "endpoints"],
  ["discovery.k8s.io/v1", "EndpointSlice", "endpointslices"],
  ["v1", "ConfigMap", "configmaps"],
  ["v1", "Secret", "secrets"],
  ["v1", "ServiceAccount", "serviceaccounts"],
  ["v1", "PersistentVolumeClaim", "persistentvolumeclaims"],
  ["v1", "PodTemplate", "podtemplates"],
  ["v1", "LimitRange", "limitranges"],
  ["v1", "ResourceQuota", "resourcequotas"],
  ["apps/v1", "ControllerRevision", "controllerrevisions"],
  ["policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"],
  ["networking.k8s.io/v1", "Ingress", "ingresses"],
  ["networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"],
  ["rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"],
  ["rbac.authorization.k8s.io/v1", "Role", "roles"],
  ["coordination.k8s.io/v1", "Lease", "leases"],
  ["v1", "Event", "events"],
];

interface CustomResourceDefinition extends KubeObject {
  spec?: {
    group: string;
    scope: string;
    names: { plural: string; kind: string };
    versions: { name: string; served: boolean; storage: boolean }[];
  };
}

/** Every namespaced kind; custom ones first, as they may own built-in ones. */
export async function namespacedTypes(kube: KubeClient): Promise<ResourceType[]> {
  const { items } = await kube.list<CustomResourceDefinition>(resources.crds);
  return [
    ...items.flatMap(typeOfDefinition),
    ...builtin.map(([groupVersion, kind, plural]) => typeOf(groupVersion, kind, plural)),
  ];
}

function typeOfDefinition({ spec }: CustomResourceDefinition): ResourceType[] {
  if (spec?.scope !== "Namespaced") return [];
  const served = spec.versions.filter((version) => version.served);
  const version = served.find((candidate) => candidate.storage) ?? served[0];
  return version ? [typeOf(`${spec.group}/${version.name}`, spec.names.kind, spec.names.plural)] : [];
}

function typeOf(groupVersion: string, kind: string, plural: string): ResourceType {
  const [group, version] = groupVersion.includes("/") ? groupVersion.split("/") : ["", groupVersion];
  return { group: group ?? "", version: version ?? "", kind, plural, namespaced: true };
}

/** Concurrent deletions: a namespace may contain 10,000 objects of a kind. */
const batchSize = 16;

/** Deletes the objects of one kind in a namespace. @returns how many are left, held by finalizers or grace periods */
export async function deleteAll(kube: KubeClient, type: ResourceType, namespace: string): Promise<number> {
  const items = await listAll(kube, type, namespace);
  const remaining = items.filter((item) => !item.metadata.deletionTimestamp);
  for (let start = 0; start < remaining.length; start += batchSize) {
    const batch = remaining.slice(start, start + batchSize);
    await Promise.all(batch.map((item) => deleteOne(kube, type, item)));
  }
  return items.length === 0 ? 0 : (await listAll(kube, type, namespace)).length;
}

async function listAll(kube: KubeClient, type: ResourceType, namespace: string): Promise<KubeObject[]> {
  return (await ignoreMissing(kube.list(type, { namespace })))?.items ?? [];
}

/** 409: another object has the name now; the next run deletes it. */
async function deleteOne(kube: KubeClient, type: ResourceType, item: KubeObject): Promise<void> {
  const { name = "", namespace = "", uid } = item.metadata;
  const options = { propagation: "Background", ...(uid !== undefined && { uid }) } as const;
  await ignoreMissing(kube.remove(type, { name, namespace }, options), 409);
}
