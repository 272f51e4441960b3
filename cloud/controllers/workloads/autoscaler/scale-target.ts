import { resources, type KubeClient, type ObjectAt, type ResourceType } from "#cloud/kube-client";
import type { KubeObject } from "#shared/kube";
import type { Autoscaler } from "./autoscaler.ts";

export interface Scale extends KubeObject {
  spec?: { replicas?: number };
  status?: { replicas?: number; selector?: string };
}

export interface ScaleTarget {
  readonly type: ResourceType;
  readonly at: ObjectAt;
}

const known: readonly ResourceType[] = [
  resources.deployments,
  resources.replicaSets,
  resources.statefulSets,
  resources.replicationControllers,
];

interface Definition extends KubeObject {
  spec: { group: string; names: { kind: string; plural: string }; scope: string };
}

/** What an autoscaler scales: a workload, or a custom resource. Undefined when there is no such kind. */
export async function findTarget(
  kube: KubeClient,
  { metadata, spec }: Autoscaler,
): Promise<ScaleTarget | undefined> {
  const { apiVersion = "v1", kind, name } = spec.scaleTargetRef;
  const { namespace = "default" } = metadata;
  const slash = apiVersion.indexOf("/");
  const [group, version] = [apiVersion.slice(0, Math.max(0, slash)), apiVersion.slice(slash + 1)];
  const type =
    known.find((one) => one.group === group && one.kind === kind) ??
    (await findCustom(kube, { group, version, kind }));
  return type && { type, at: { namespace, name } };
}

async function findCustom(
  kube: KubeClient,
  wanted: Pick<ResourceType, "group" | "version" | "kind">,
): Promise<ResourceType | undefined> {
  if (wanted.group === "") return undefined;
  const { items } = await kube.list<Definition>(resources.crds);
  const found = items.find(({ spec }) => spec.group === wanted.group && spec.names.kind === wanted.kind);
  return (
    found && { ...wanted, plural: found.spec.names.plural, namespaced: found.spec.scope === "Namespaced" }
  );
}
