import type { ServedVersion } from "#cloud/kube-api/objects";
import type { KubeObject } from "#shared/kube";

/** Group and version priorities of kube-apiserver (`apiVersionPriorities`): clients prefer what has the higher ones. */
const priorities: Readonly<Record<string, number>> = {
  "": 18_000,
  apps: 17_800,
  "events.k8s.io": 17_750,
  "authentication.k8s.io": 17_700,
  "authorization.k8s.io": 17_600,
  autoscaling: 17_500,
  batch: 17_400,
  "certificates.k8s.io": 17_300,
  "networking.k8s.io": 17_200,
  policy: 17_100,
  "rbac.authorization.k8s.io": 17_000,
  "storage.k8s.io": 16_800,
  "apiextensions.k8s.io": 16_700,
  "admissionregistration.k8s.io": 16_700,
  "scheduling.k8s.io": 16_600,
  "coordination.k8s.io": 16_500,
  "node.k8s.io": 16_300,
  "discovery.k8s.io": 16_200,
  "flowcontrol.apiserver.k8s.io": 16_100,
  // What metrics-server registers itself with.
  "metrics.k8s.io": 100,
};
const customPriority = 1000;
/** Served by what aggregates, not by what is aggregated. */
export const ownGroup = "apiregistration.k8s.io";

/** The priority of a group that this API serves itself. */
export function priorityOf(group: string): number {
  return group === ownGroup ? 20_000 : (priorities[group] ?? customPriority);
}

const managed = "kube-aggregator.kubernetes.io/automanaged";

/** The APIServices of what this API serves itself. */
export function localServices(versions: readonly ServedVersion[]): KubeObject[] {
  const seen = new Map<string, number>();
  return versions
    .filter(({ group }) => group !== ownGroup)
    .map(({ group, version, kinds }) => {
      const isCustom = kinds.every(({ custom }) => custom !== undefined);
      const earlier = seen.get(group) ?? 0;
      seen.set(group, earlier + 1);
      return {
        apiVersion: `${ownGroup}/v1`,
        kind: "APIService",
        metadata: { name: `${version}.${group}`, labels: { [managed]: isCustom ? "true" : "onstart" } },
        spec: {
          group,
          version,
          groupPriorityMinimum: priorityOf(group),
          versionPriority: isCustom ? Math.max(1, 100 - earlier) : Math.max(1, 15 - earlier),
        },
      };
    });
}

/** Whether an APIService is one that this API made for itself. */
export function isManaged(labels: Readonly<Record<string, unknown>>): boolean {
  return labels[managed] !== undefined;
}
