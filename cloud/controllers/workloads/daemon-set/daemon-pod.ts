import { resources } from "#cloud/kube-client";
import type { DaemonSet } from "#cloud/controllers/framework";
import { podFromTemplate } from "#cloud/controllers/workloads/pods";
import type { Node, Pod, Toleration } from "#shared/kube";
import { findUntolerated, matchesNodeSelection, nodesNamedBy } from "#shared/scheduling";

export const revisionLabel = "controller-revision-hash";

/** Pods of a DaemonSet stay on nodes in trouble, and come to nodes that are cordoned; as AddOrUpdateDaemonPodTolerations. */
const noExecute = ["not-ready", "unreachable"];
const noSchedule = ["disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"];

function tolerationsOf({ spec }: DaemonSet["spec"]["template"]): Toleration[] {
  const schedule = spec.hostNetwork === true ? [...noSchedule, "network-unavailable"] : noSchedule;
  const added: Toleration[] = [
    ...noExecute.map((name) => tolerationOf(name, "NoExecute")),
    ...schedule.map((name) => tolerationOf(name, "NoSchedule")),
  ];
  const isAdded = ({ key, operator, effect, value = "" }: Toleration): boolean =>
    added.some(
      (one) => one.key === key && one.operator === operator && one.effect === effect && value === "",
    );
  return [...(spec.tolerations ?? []).filter((one) => !isAdded(one)), ...added];
}

function tolerationOf(name: string, effect: string): Toleration {
  return { key: `node.kubernetes.io/${name}`, operator: "Exists", effect };
}

/** The pod for one node: the scheduler binds it there, and nowhere else. */
export function daemonPod(daemonSet: DaemonSet, node: string, hash: string): Pod {
  const pod = podFromTemplate(resources.daemonSets, daemonSet);
  const { affinity } = pod.spec;
  const term = { matchFields: [{ key: "metadata.name", operator: "In", values: [node] }] };
  const nodeAffinity = {
    ...affinity?.nodeAffinity,
    requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term] },
  };
  return {
    ...pod,
    metadata: { ...pod.metadata, labels: { ...pod.metadata.labels, [revisionLabel]: hash } },
    spec: {
      ...pod.spec,
      affinity: { ...affinity, nodeAffinity },
      tolerations: tolerationsOf(daemonSet.spec.template),
    },
  };
}

/** The node that a pod of a DaemonSet is for, also before it is bound. */
export function nodeOf(pod: Pod): string | undefined {
  if (pod.spec.nodeName) return pod.spec.nodeName;
  const [name, ...others] = nodesNamedBy(pod) ?? [];
  return others.length === 0 ? name : undefined;
}

export interface NodeVerdict {
  /** A pod is to be created there. */
  readonly shouldRun: boolean;
  /** A pod that is there stays. */
  readonly mayStay: boolean;
}

/** Whether a node should have a pod of the DaemonSet; as NodeShouldRunDaemonPod. */
export function verdictOf({ spec: { template } }: DaemonSet, node: Node): NodeVerdict {
  const { nodeName } = template.spec;
  const isChosen = !nodeName || nodeName === node.metadata.name;
  if (!isChosen || !matchesNodeSelection({ metadata: {}, spec: template.spec }, node))
    return { shouldRun: false, mayStay: false };
  const tolerations = tolerationsOf(template);
  const taints = node.spec?.taints ?? [];
  const evicting = taints.filter(({ effect }) => effect === "NoExecute");
  return {
    shouldRun: !findUntolerated(taints, tolerations),
    mayStay: !findUntolerated(evicting, tolerations),
  };
}
