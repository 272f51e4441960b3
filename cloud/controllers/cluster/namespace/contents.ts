import { builtinKinds } from "#cloud/kube-api/kinds";
import { ignoreMissing, resources, type KubeClient, type ResourceType } from "#cloud/kube-client";
import type { KubeObject } from "#shared/kube";

/** Deleted first, in this order: owners before their dependents, so that no controller creates new ones meanwhile. */
const first = [
  "horizontalpodautoscalers",
  "deployments",
  "replicasets",
  "statefulsets",
  "daemonsets",
  "cronjobs",
  "jobs",
  "replicationcontrollers",
  "pods",
  "services",
];
/** Deletions cause Events. */
const last = "events";

interface CustomResourceDefinition extends KubeObject {
  spec?: {
    group: string;
    scope: string;
    names: { plural: string; kind: string };
    versions: { name: string; served: boolean; storage: boolean }[];
  };
}

/** Every namespaced kind, in one version; custom ones first, as they may own built-in ones. */
export async function namespacedTypes(kube: KubeClient): Promise<ResourceType[]> {
  const { items } = await kube.list<CustomResourceDefinition>(resources.crds);
  return [...items.flatMap(typeOfDefinition), ...builtinTypes()];
}

function builtinTypes(): ResourceType[] {
  const kinds = builtinKinds().filter(
    ({ namespaced, verbs, storedAs }) => namespaced && verbs.includes("deletecollection") && !storedAs,
  );
  return kinds.toSorted((a, b) => placeOf(a.plural) - placeOf(b.plural));
}

function placeOf(plural: string): number {
  if (plural === last) return first.length + 1;
  const place = first.indexOf(plural);
  return place < 0 ? first.length : place;
}

function typeOfDefinition({ spec }: CustomResourceDefinition): ResourceType[] {
  if (spec?.scope !== "Namespaced") return [];
  const served = spec.versions.filter((version) => version.served);
  const version = served.find((candidate) => candidate.storage) ?? served[0];
  const { group, names } = spec;
  return version
    ? [{ group, version: version.name, kind: names.kind, plural: names.plural, namespaced: true }]
    : [];
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
