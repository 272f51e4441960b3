import { parseQuantity, type Container, type Node, type Pod } from "#shared/kube";
import { rulesOf, type AffinityRule, type LabeledPod } from "./pod-selection.ts";

export interface HostPort {
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

/** What a pod needs on its node. */
export interface PodNeeds extends LabeledPod {
  readonly pod: Pod;
  /** In thousandths of the unit of the resource: whole numbers, so that sums stay exact. */
  readonly amounts: ReadonlyMap<string, number>;
  readonly hostPorts: readonly HostPort[];
  /** The uid of the controller that manages the pod. */
  readonly owner: string | undefined;
  readonly priority: number;
  /** Required anti-affinity: pods that may not be near this one. */
  readonly avoids: readonly AffinityRule[];
}

const nanoPerThousandth = 1_000_000n;
const noLabels: Readonly<Record<string, string>> = {};

export function needsOf(pod: Pod): PodNeeds {
  const { hostNetwork, containers, priority = 0, affinity } = pod.spec;
  const shown = { namespace: pod.metadata.namespace ?? "", labels: pod.metadata.labels ?? noLabels };
  return {
    ...shown,
    pod,
    amounts: requestsOf(pod),
    hostPorts: containers.flatMap((container) => hostPortsOf(container, hostNetwork)),
    owner: pod.metadata.ownerReferences?.find((reference) => reference.controller === true)?.uid,
    priority,
    avoids: rulesOf(affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution, shown),
  };
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
