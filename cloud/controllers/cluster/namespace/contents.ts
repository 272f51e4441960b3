import { ignoreMissing, resources, type KubeClient, type ResourceType } from "#cloud/kube-client";
import type { KubeObject } from "#shared/kube";

/** Owners before what they own, so that nothing is made anew meanwhile. */
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

/** Every kind of object that may live in a namespace; custom ones first, for what they own. */
export async function namespacedTypes(kube: KubeClient): Promise<ResourceType[]> {
  const { items } = await kube.list<CustomResourceDefinition>(resources.crds);
  return [
    ...items.flatMap(typeOfDefinition),
    ...builtin.map(([gv, kind, plural]) => typeOf(gv, kind, plural)),
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

/** Deletes the objects of one kind in a namespace; how many are (still) there. */
export async function emptyOf(kube: KubeClient, type: ResourceType, namespace: string): Promise<number> {
  const items = await listed(kube, type, namespace);
  const doomed = items.filter((item) => !item.metadata.deletionTimestamp);
  for (let at = 0; at < doomed.length; at += 16) {
    const batch = doomed.slice(at, at + 16);
    // oxlint-disable-next-line no-await-in-loop -- a namespace may be large: a few at a time
    await Promise.all(batch.map((item) => removed(kube, type, item)));
  }
  return items.length === 0 ? 0 : (await listed(kube, type, namespace)).length;
}

async function listed(kube: KubeClient, type: ResourceType, namespace: string): Promise<KubeObject[]> {
  return (await ignoreMissing(kube.list(type, { namespace })))?.items ?? [];
}

async function removed(kube: KubeClient, type: ResourceType, item: KubeObject): Promise<void> {
  const { name = "", namespace = "", uid } = item.metadata;
  const options = { propagation: "Background", ...(uid !== undefined && { uid }) } as const;
  await ignoreMissing(kube.remove(type, { name, namespace }, options), 409);
}
