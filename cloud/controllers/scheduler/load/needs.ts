import type { Node, Pod } from "#shared/kube";
import { hostPortsOf, offersOf, requestsOf, type Amounts, type HostPort } from "#shared/scheduling";
import {
  rulesOf,
  weightedRulesOf,
  type AffinityRule,
  type LabeledPod,
  type WeightedRule,
} from "./pod-selection.ts";

/** What a pod needs on its node. */
export interface PodNeeds extends LabeledPod {
  readonly pod: Pod;
  /** The same for pods that selectors cannot tell apart: those of one workload, mostly. */
  readonly looks: string;
  /** The same for pods that look alike and want the same of others; empty when they want nothing. */
  readonly wishes: string;
  readonly amounts: Amounts;
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

const noLabels: Readonly<Record<string, string>> = {};

export function needsOf(pod: Pod): PodNeeds {
  const { priority = 0 } = pod.spec;
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
    hostPorts: hostPortsOf(pod),
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

function estimate(resource: keyof Estimates, { spec }: Pod, amounts: Amounts): number {
  const silent = spec.containers.filter(({ resources }) => resources?.requests?.[resource] === undefined);
  return (amounts.get(resource) ?? 0) + silent.length * usual[resource];
}

/** What a node gives to pods, in thousandths. */
export function capacityOf({ status }: Node): Map<string, number> {
  return offersOf(status?.allocatable ?? status?.capacity ?? {});
}
