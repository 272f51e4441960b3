import type { Condition, Node, Taint } from "#shared/kube";

const notReady = "node.kubernetes.io/not-ready";
const unreachable = "node.kubernetes.io/unreachable";
const cordoned = "node.kubernetes.io/unschedulable";
const pressures: readonly (readonly [condition: string, taint: string])[] = [
  ["MemoryPressure", "node.kubernetes.io/memory-pressure"],
  ["DiskPressure", "node.kubernetes.io/disk-pressure"],
  ["PIDPressure", "node.kubernetes.io/pid-pressure"],
  ["NetworkUnavailable", "node.kubernetes.io/network-unavailable"],
];
/** Taints that this controller adds and removes; others are not its business. */
const managedTaints = new Set([notReady, unreachable, cordoned, ...pressures.map(([, taint]) => taint)]);
/** Conditions that every kubelet reports. */
const reported = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/** The status of the Ready condition. */
export function readyStatus(node: Node): Condition["status"] | undefined {
  return node.status?.conditions?.find((condition) => condition.type === "Ready")?.status;
}

/** The conditions of a node of which nothing is known any more; empty when it has them already. */
export function unknownConditions(node: Node, now: string): Condition[] {
  return reported.flatMap((type): Condition[] => {
    const known = node.status?.conditions?.find((condition) => condition.type === type);
    if (known?.status === "Unknown") return [];
    const base = { type, status: "Unknown", lastTransitionTime: now } as const;
    if (known) {
      const message = "Kubelet stopped posting node status.";
      return [{ ...base, reason: "NodeStatusUnknown", message }];
    }
    return [{ ...base, reason: "NodeStatusNeverUpdated", message: "Kubelet never posted node status." }];
  });
}

/**
 * The taints that a node should have by its conditions; undefined when it has them. Their effect is NoSchedule only: pods on
 * an unreachable edge node keep running and are not evicted.
 */
export function taintsWanted(node: Node, now: string): Taint[] | undefined {
  const current = node.spec?.taints ?? [];
  const wanted = new Set(taintKeys(node));
  const kept = current.filter((taint) => {
    if (!managedTaints.has(taint.key)) return true;
    return taint.effect === "NoSchedule" && wanted.has(taint.key);
  });
  const present = new Set(kept.map((taint) => taint.key));
  const added = [...wanted].filter((key) => !present.has(key));
  if (added.length === 0 && kept.length === current.length) return undefined;
  return [...kept, ...added.map((key): Taint => ({ key, effect: "NoSchedule", timeAdded: now }))];
}

function taintKeys(node: Node): string[] {
  const keys: string[] = [];
  const ready = readyStatus(node);
  if (ready === "Unknown") keys.push(unreachable);
  else if (ready !== "True") keys.push(notReady);
  if (node.spec?.unschedulable === true) keys.push(cordoned);
  for (const [type, key] of pressures)
    if (node.status?.conditions?.some((condition) => condition.type === type && condition.status === "True"))
      keys.push(key);
  return keys;
}

/** The parts of a node that the controller acts on; heartbeats change none of them. */
export function lifecycleView(node: Node): unknown {
  const conditions = (node.status?.conditions ?? [])
    .map(({ type, status }) => `${type}=${status}`)
    .toSorted();
  const taints = (node.spec?.taints ?? []).map(({ key, effect }) => `${key}:${effect}`).toSorted();
  return { conditions, taints, unschedulable: node.spec?.unschedulable ?? false };
}

/** The time of the last status update, by the clock of the node. */
export function heartbeatOf(node: Node): string {
  const ready = node.status?.conditions?.find((condition) => condition.type === "Ready");
  return ready?.lastHeartbeatTime ?? "";
}
