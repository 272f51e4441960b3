import type { NodeLoad, PodNeeds } from "#cloud/controllers/scheduler/load";
import { matchesPreference } from "#shared/scheduling";

/** The weights of what the pod prefers of a node, in sum; undefined without preferences. As NodeAffinity. */
export function nodePreferenceScores({ pod }: PodNeeds, loads: readonly NodeLoad[]): number[] | undefined {
  const preferred = pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  if (preferred.length === 0) return undefined;
  return loads.map(({ node }) => {
    let sum = 0;
    for (const { weight, preference } of preferred) if (matchesPreference(preference, node)) sum += weight;
    return sum;
  });
}
