import { isStaticPod, quantityNumber, type Pod } from "#shared/kube";

export type QualityOfService = "Guaranteed" | "Burstable" | "BestEffort";

/** Kubernetes' quality of service classes, from cpu and memory of all containers. */
export function qosClass({ spec }: Pod): QualityOfService {
  const all = [...spec.containers, ...(spec.initContainers ?? [])];
  const amounts = all.flatMap((one) =>
    ["cpu", "memory"].map((name) => {
      const limit = quantityNumber(one.resources?.limits?.[name]) ?? 0;
      return { limit, request: quantityNumber(one.resources?.requests?.[name]) ?? limit };
    }),
  );
  if (amounts.every(({ limit, request }) => limit === 0 && request === 0)) return "BestEffort";
  return amounts.every(({ limit, request }) => limit > 0 && limit === request) ? "Guaranteed" : "Burstable";
}

/** scheduling.SystemCriticalPriority of Kubernetes: user-defined classes are below. */
const systemCritical = 2_000_000_000;

/** Whether the node depends on a pod: a static pod, or one of a system priority class (kubelet's IsCriticalPod). */
export function isCriticalPod(pod: Pod): boolean {
  return isStaticPod(pod) || (pod.spec.priority ?? 0) >= systemCritical;
}
