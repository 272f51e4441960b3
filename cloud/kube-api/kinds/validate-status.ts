import { dnsSubdomain, invalid, notNegative, validateNodeStatus } from "#cloud/kube-api/kinds/validation";
import { definitionName, type FieldError, type KindInfo } from "#cloud/kube-api/schema";
import { childOf, itemsOf, numberOf, textOf, type JsonObject } from "#shared/json";
import { isIP } from "node:net";

type Rule = (status: JsonObject) => FieldError[];

const rules: Readonly<Record<string, Rule>> = {
  "core.v1.Pod": validatePodStatus,
  "core.v1.Service": validateServiceStatus,
  "core.v1.Node": validateNodeStatus,
};

/** Errors of a status that is written through its subresource. */
export function validateStatus(kind: KindInfo, object: JsonObject): FieldError[] {
  const name = definitionName(kind);
  const status = childOf(object, "status") ?? {};
  const counts = counted[name];
  return counts ? validateCounts(status, counts) : (rules[name]?.(status) ?? []);
}

/** After `ValidatePodStatusUpdate`; podIP, the older field, wins over the first of podIPs. */
function validatePodStatus(status: JsonObject): FieldError[] {
  const nominated = textOf(status, "nominatedNodeName");
  const first = textOf(status, "podIP");
  const [, ...more] = itemsOf(status, "podIPs").map((item) => textOf(item, "ip"));
  const listed = textOf(itemsOf(status, "podIPs")[0], "ip");
  const addresses = [first === "" ? listed : first, ...more];
  return [
    ...(nominated === "" ? [] : dnsSubdomain(nominated)).map((text) =>
      invalid("status.nominatedNodeName", nominated, text),
    ),
    ...addresses.flatMap((ip, index) =>
      ip === "" || isIP(ip) !== 0
        ? []
        : [
            invalid(
              `status.podIPs[${index}]`,
              ip,
              "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ),
          ],
    ),
  ];
}

/** After `ValidateLoadBalancerStatus`. */
function validateServiceStatus(status: JsonObject): FieldError[] {
  return itemsOf(childOf(status, "loadBalancer"), "ingress").flatMap((ingress, index) => {
    const path = `status.loadBalancer.ingress[${index}]`;
    const ip = textOf(ingress, "ip");
    const host = textOf(ingress, "hostname");
    return [
      ...(ip === "" || isIP(ip) !== 0 ? [] : [invalid(`${path}.ip`, ip, "must be a valid IP address")]),
      ...(host === "" ? [] : dnsSubdomain(host)).map((text) => invalid(`${path}.hostname`, host, text)),
      ...(isIP(host) === 0
        ? []
        : [invalid(`${path}.hostname`, host, "must be a DNS name, not an IP address")]),
    ];
  });
}

/** Counts of a status: none is negative, and each in `within` is at most `whole`. */
interface Counts {
  readonly counts: readonly string[];
  readonly within?: readonly string[];
  /** How the message names the ready ones, which the available ones are among. */
  readonly ready?: string;
}

const available = "availableReplicas";
const replicaCounts: Counts = {
  counts: ["replicas", "fullyLabeledReplicas", "readyReplicas", available, "observedGeneration"],
  within: ["fullyLabeledReplicas", "readyReplicas", available],
  ready: "readyReplicas",
};
const counted: Readonly<Record<string, Counts>> = {
  "core.v1.ReplicationController": replicaCounts,
  "apps.v1.ReplicaSet": replicaCounts,
  "apps.v1.Deployment": {
    counts: [
      "observedGeneration",
      "replicas",
      "updatedReplicas",
      "readyReplicas",
      available,
      "unavailableReplicas",
      "collisionCount",
    ],
    within: ["updatedReplicas", "readyReplicas", available],
    ready: "readyReplicas",
  },
  "apps.v1.StatefulSet": {
    counts: [
      "replicas",
      "readyReplicas",
      "currentReplicas",
      "updatedReplicas",
      available,
      "observedGeneration",
      "collisionCount",
    ],
    within: ["readyReplicas", "currentReplicas", "updatedReplicas", available],
    ready: "status.readyReplicas",
  },
  "apps.v1.DaemonSet": {
    counts: [
      "currentNumberScheduled",
      "numberMisscheduled",
      "desiredNumberScheduled",
      "numberReady",
      "observedGeneration",
      "updatedNumberScheduled",
      "numberAvailable",
      "numberUnavailable",
      "collisionCount",
    ],
  },
  "batch.v1.Job": { counts: ["active", "succeeded", "failed", "ready", "terminating"] },
  "policy.v1.PodDisruptionBudget": {
    counts: ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"],
  },
  "autoscaling.v2.HorizontalPodAutoscaler": { counts: ["currentReplicas", "desiredReplicas"] },
};

/** After `ValidateReplicaSetStatus`, `ValidateDeploymentStatus`, `ValidateStatefulSetStatus` and the like. */
function validateCounts(status: JsonObject, { counts, within = [], ready }: Counts): FieldError[] {
  const countOf = (field: string): number => numberOf(status, field) ?? 0;
  const above = within.filter((field) => countOf(field) > countOf("replicas"));
  const isMore = ready !== undefined && countOf(available) > countOf("readyReplicas");
  return [
    ...notNegative(status, counts, "status"),
    ...above.map((field) =>
      invalid(`status.${field}`, countOf(field), "cannot be greater than status.replicas"),
    ),
    ...(isMore
      ? [invalid(`status.${available}`, countOf(available), `cannot be greater than ${ready}`)]
      : []),
  ];
}
