import { formatQuantity, parseQuantity, type Pod } from "#shared/kube";
import {
  binaryText,
  shownAmounts,
  type Observation,
  type ReclaimedResource,
  type Threshold,
} from "./thresholds.ts";

/** The reason of an evicted pod, and of its Event. */
export const evicted = "Evicted";

export interface Shortage {
  readonly resource: ReclaimedResource;
  readonly threshold: Threshold;
  readonly observation: Observation | undefined;
}

/** Why a pod is evicted, as kubelet's evictionMessage; `used`: bytes by container, of memory or disk. */
export function evictionMessage(
  pod: Pod,
  { resource, threshold, observation }: Shortage,
  used: ReadonlyMap<string, number>,
): string {
  const parts = [`The node was low on resource: ${resource}. `];
  if (observation) {
    const { quantity, available } = shownAmounts(threshold, observation);
    parts.push(`Threshold quantity: ${quantity}, available: ${available}. `);
  }
  for (const { name, resources } of pod.spec.containers) {
    const bytes = used.get(name);
    const request = parseQuantity(resources?.requests?.[resource] ?? "0");
    if (bytes === undefined || !request || BigInt(Math.round(bytes)) * 1_000_000_000n <= request.nano)
      continue;
    parts.push(
      `Container ${name} was using ${binaryText(bytes)}, request is ${formatQuantity(request)}, has larger consumption of ${resource}. `,
    );
  }
  return parts.join("");
}

export function emptyDirMessage(volume: string, limit: string): string {
  return `Usage of EmptyDir volume "${volume}" exceeds the limit "${canonical(limit)}". `;
}

export function containerStorageMessage(container: string, limit: string): string {
  return `Container ${container} exceeded its local ephemeral storage limit "${canonical(limit)}". `;
}

/** `limit`: of all containers together. */
export function podStorageMessage(limit: string): string {
  return `Pod ephemeral local storage usage exceeds the total limit of containers ${limit}. `;
}

function canonical(limit: string): string {
  const quantity = parseQuantity(limit);
  return quantity ? formatQuantity(quantity) : limit;
}
