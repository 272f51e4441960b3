import { childOf, itemsOf, type JsonObject } from "#shared/json";
import type { Quantity } from "#shared/kube";
import { amountsOf, mostOf, sumOf, type Amounts } from "./amounts.ts";

/**
 * What a pod asks for in all (`requests` or `limits`): the sum of its containers, or more where an init container needs more,
 * and its overhead. Init containers that restart run beside the others. As PodRequests and PodLimits of resource helpers.
 */
export function podAmounts(pod: JsonObject, field: "requests" | "limits"): Map<string, Quantity> {
  const spec = childOf(pod, "spec");
  const of = (container: JsonObject): Amounts => amountsOf(childOf(childOf(container, "resources"), field));
  const init = itemsOf(spec, "initContainers");
  const beside = init.filter(({ restartPolicy }) => restartPolicy === "Always").map(of);
  const before = init.filter(({ restartPolicy }) => restartPolicy !== "Always").map(of);
  const running = sumOf([...itemsOf(spec, "containers").map(of), ...beside]);
  const overhead = amountsOf(childOf(spec, "overhead"));
  const peak = mostOf([running, ...before]);
  // A limit that no container has is none: the overhead alone does not make one.
  const counted = field === "requests" ? [...overhead] : [...overhead].filter(([name]) => peak.has(name));
  return sumOf([peak, new Map(counted)]);
}
