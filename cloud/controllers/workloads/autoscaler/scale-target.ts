import { resources, type KubeClient, type ObjectAt, type ResourceType } from "#cloud/kube-client";
import { findCustom } from "#cloud/controllers/framework";
import type { Autoscaler } from "./autoscaler.ts";

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
