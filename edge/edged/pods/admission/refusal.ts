import { isStaticPod, type Node, type Pod } from "#shared/kube";
import {
  addAmounts,
  hostPortsOf,
  isTolerated,
  matchesNodeSelection,
  offersOf,
  portsCollide,
  requestsOf,
} from "#shared/scheduling";

/** Why a pod is not run on its node, as kubelet puts it. */
export interface Refusal {
  readonly reason: string;
  readonly message: string;
}

/** Of these kubelet speaks in thousandths; of others in whole units. */
const inThousandths = new Set(["cpu"]);

/**
 * What the node lacks for a pod beside others: resources, then ports (predicate.go of kubelet). Resources that the node does
 * not count are no reason.
 */
export function roomRefusal(
  pod: Pod,
  others: readonly Pod[],
  allocatable: Readonly<Record<string, string>>,
): Refusal | undefined {
  return resourceRefusal(pod, others, allocatable) ?? portRefusal(pod, others);
}

function resourceRefusal(
  pod: Pod,
  others: readonly Pod[],
  allocatable: Readonly<Record<string, string>>,
): Refusal | undefined {
  const offers = offersOf(allocatable);
  const used = new Map([["pods", others.length * 1000]]);
  for (const other of others) addAmounts(used, requestsOf(other));
  for (const [resource, requested] of [["pods", 1000] as const, ...requestsOf(pod)]) {
    const capacity = offers.get(resource);
    if (capacity === undefined || requested + (used.get(resource) ?? 0) <= capacity) continue;
    const shown = (amount = 0): number => (inThousandths.has(resource) ? amount : Math.ceil(amount / 1000));
    const message =
      `Node didn't have enough resource: ${resource}, requested: ${shown(requested)}, ` +
      `used: ${shown(used.get(resource))}, capacity: ${shown(capacity)}`;
    return { reason: `OutOf${resource}`, message };
  }
  return undefined;
}

function portRefusal(pod: Pod, others: readonly Pod[]): Refusal | undefined {
  return portsCollide(hostPortsOf(pod), others.map(hostPortsOf))
    ? predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports")
    : undefined;
}

/** What the Node, as the cloud has it, has against a pod. */
function nodeRefusal(pod: Pod, node: Node): Refusal | undefined {
  if (!matchesNodeSelection(pod, node))
    return predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector");
  const { tolerations = [] } = pod.spec;
  const isEvicted = (node.spec?.taints ?? []).some(
    (taint) => taint.effect === "NoExecute" && !isTolerated(taint, tolerations),
  );
  return isEvicted
    ? predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate")
    : undefined;
}

function predicate(reason: string, what: string): Refusal {
  return { reason, message: `Predicate ${reason} failed: ${what}` };
}

/**
 * What the Node has against a new pod. What is known of it may be old: a pod is refused only after the cloud was asked, and
 * admitted when it does not answer.
 */
export async function findMisplaced(
  pod: Pod,
  {
    node: known,
    readNode,
  }: { readonly node: Node | undefined; readonly readNode: () => Promise<Node | undefined> },
): Promise<Refusal | undefined> {
  // A file of the node itself is for this node.
  if (isStaticPod(pod) || !known || !nodeRefusal(pod, known)) return undefined;
  const node = await readNode();
  return node && nodeRefusal(pod, node);
}
