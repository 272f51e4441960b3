import { parseQuantity, type Container, type Node, type Pod } from "#shared/kube";
import {
  rulesOf,
  weightedRulesOf,
  type AffinityRule,
  type LabeledPod,
  type WeightedRule,
} from "./pod-selection.ts";

export interface HostPort {
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

/** What a pod needs on its node. */
export interface PodNeeds extends LabeledPod {
  readonly pod: Pod;
  /** The same for pods that selectors cannot tell apart: those of one workload, mostly. */
  readonly looks: string;
  /** The same for pods that look alike and want the same of others; empty when they want nothing. */
  readonly wishes: string;
  /** In thousandths of the unit of the resource: whole numbers, so that sums stay exact. */
  readonly amounts: ReadonlyMap<string, number>;
  readonly hostPorts: readonly HostPort[];
  /** The uid of the controller that manages the pod. */
  readonly owner: string | undefined;
  readonly priority: number;
  /** Required affinity: pods that have to be near this one. */
  readonly near: readonly AffinityRule[];
  /** Required anti-affinity: pods that may not be near this one. */
  readonly avoids: readonly AffinityRule[];
  /** Preferred affinity, and anti-affinity with weights below zero. */
  readonly prefers: readonly WeightedRule[];
  /** Of cpu and memory as `amounts`, with what a container usually takes where it requests nothing. */
  readonly estimates: Estimates;
}

export interface Estimates {
  readonly cpu: number;
  readonly memory: number;
}

/** DefaultMilliCPURequest and DefaultMemoryRequest of kube-scheduler: pods without requests spread as well. */
const usual: Estimates = { cpu: 100, memory: 200 * 2 ** 20 * 1000 };

const nanoPerThousandth = 1_000_000n;
const noLabels: Readonly<Record<string, string>> = {};

export function needsOf(pod: Pod): PodNeeds {
  const { hostNetwork, containers, priority = 0 } = pod.spec;
  const shown = { namespace: pod.metadata.namespace ?? "", labels: pod.metadata.labels ?? noLabels };
  const amounts = requestsOf(pod);
  const isStaying = pod.metadata.deletionTimestamp === undefined;
  const looks = JSON.stringify([isStaying, shown.namespace, shown.labels]);
  return {
    ...shown,
    ...wishesOf(pod, shown, looks),
    pod,
    looks,
    amounts,
    hostPorts: containers.flatMap((container) => hostPortsOf(container, hostNetwork)),
    owner: pod.metadata.ownerReferences?.find((reference) => reference.controller === true)?.uid,
    priority,
    estimates: { cpu: estimate("cpu", pod, amounts), memory: estimate("memory", pod, amounts) },
  };
}

/** What a pod wants of the pods around it. */
function wishesOf(
  { spec: { affinity } }: Pod,
  shown: LabeledPod,
  looks: string,
): Pick<PodNeeds, "wishes" | "near" | "avoids" | "prefers"> {
  if (!affinity?.podAffinity && !affinity?.podAntiAffinity) return noWishes;
  const { podAffinity, podAntiAffinity } = affinity;
  return {
    wishes: JSON.stringify([looks, podAffinity, podAntiAffinity]),
    near: rulesOf(podAffinity?.requiredDuringSchedulingIgnoredDuringExecution, shown),
    avoids: rulesOf(podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution, shown),
    prefers: weightedRulesOf(affinity, shown),
  };
}

const noWishes = { wishes: "", near: [], avoids: [], prefers: [] } as const;

function estimate(resource: keyof Estimates, { spec }: Pod, amounts: ReadonlyMap<string, number>): number {
  const silent = spec.containers.filter(({ resources }) => resources?.requests?.[resource] === undefined);
  return (amounts.get(resource) ?? 0) + silent.length * usual[resource];
}

/** What a node gives to pods, in thousandths. */
export function capacityOf({ status }: Node): Map<string, number> {
  const given = status?.allocatable ?? status?.capacity ?? {};
  return new Map(
    Object.entries(given).map(([resource, text]) => [resource, Number(nanoOf(text) / nanoPerThousandth)]),
  );
}

/** Exact: 700m is 700.0000000000001 thousandths as a number. An invalid quantity counts as 0. */
function nanoOf(text: string | undefined): bigint {
  return parseQuantity(text ?? "")?.nano ?? 0n;
}

function hostPortsOf(container: Container, hostNetwork: boolean | undefined): HostPort[] {
  return (container.ports ?? []).flatMap(({ hostPort, containerPort, hostIP, protocol }) => {
    const port = hostPort ?? (hostNetwork === true ? containerPort : 0);
    return port > 0 ? [{ port, ip: hostIP || "0.0.0.0", protocol: protocol ?? "TCP" }] : [];
  });
}

/**
 * The sum over the containers, or the largest init container with the sidecars before it, whichever is more; plus
 * overhead (KEP-753, KEP-688).
 */
function requestsOf(pod: Pod): Map<string, number> {
  const running = new Map<string, number>();
  const starting = new Map<string, number>();
  for (const container of pod.spec.initContainers ?? []) {
    const sidecar = container.restartPolicy === "Always";
    for (const [resource, amount] of amountsOf(container.resources?.requests)) {
      const total = (running.get(resource) ?? 0) + amount;
      if (sidecar) running.set(resource, total);
      starting.set(resource, Math.max(starting.get(resource) ?? 0, total));
    }
  }
  for (const container of pod.spec.containers) addAmounts(running, amountsOf(container.resources?.requests));
  for (const [resource, amount] of starting)
    running.set(resource, Math.max(running.get(resource) ?? 0, amount));
  addAmounts(running, amountsOf(pod.spec.overhead));
  return running;
}

function amountsOf(requests: Record<string, string> | undefined): [string, number][] {
  return Object.entries(requests ?? {}).flatMap(([resource, text]): [string, number][] => {
    const amount = Number((nanoOf(text) + nanoPerThousandth - 1n) / nanoPerThousandth);
    return amount > 0 ? [[resource, amount]] : [];
  });
}

function addAmounts(total: Map<string, number>, amounts: Iterable<readonly [string, number]>): void {
  for (const [resource, amount] of amounts) total.set(resource, (total.get(resource) ?? 0) + amount);
}
