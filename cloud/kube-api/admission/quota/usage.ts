import { amountsOf, count, podAmounts, type Amounts } from "#cloud/kube-api/admission/amounts";
import { childOf, itemsOf, textMapOf, textOf, type JsonObject } from "#shared/json";
import type { Quantity } from "#shared/kube";

/**
 * What one object uses of a ResourceQuota, by the names that quotas know, after pkg/quota/v1/evaluator/core. Every object counts
 * as `count/<plural>.<group>`.
 */
export function usageOf(resource: string, object: JsonObject): Amounts {
  const usage = new Map<string, Quantity>([[countName(resource), count(1)]]);
  const plain = plainCounts[resource];
  if (plain !== undefined) usage.set(plain, count(1));
  for (const [name, amount] of measures[resource]?.(object) ?? []) usage.set(name, amount);
  return usage;
}

/** `count/deployments.apps` */
function countName(resource: string): string {
  const [group = "", plural = ""] = resource.split("/");
  return `count/${group === "" ? plural : `${plural}.${group}`}`;
}

/** Resources with a name of their own, from before `count/`. */
const plainCounts: Readonly<Record<string, string>> = {
  "/configmaps": "configmaps",
  "/persistentvolumeclaims": "persistentvolumeclaims",
  "/replicationcontrollers": "replicationcontrollers",
  "/resourcequotas": "resourcequotas",
  "/secrets": "secrets",
  "/services": "services",
};

const measures: Readonly<Record<string, (object: JsonObject) => Iterable<readonly [string, Quantity]>>> = {
  "/pods": podMeasures,
  "/persistentvolumeclaims": claimMeasures,
  "/services": serviceMeasures,
};

/** A pod that has ended uses nothing but its place in the database. */
export function hasEnded(pod: JsonObject): boolean {
  return ["Succeeded", "Failed"].includes(textOf(childOf(pod, "status"), "phase"));
}

/** Requests that have a name of their own, without `requests.`. */
const shortRequests = ["cpu", "memory", "ephemeral-storage"];

function* podMeasures(pod: JsonObject): Generator<readonly [string, Quantity]> {
  if (hasEnded(pod)) return;
  yield ["pods", count(1)];
  for (const [name, amount] of podAmounts(pod, "requests")) {
    yield [`requests.${name}`, amount];
    if (shortRequests.includes(name) || name.startsWith("hugepages-")) yield [name, amount];
  }
  for (const [name, amount] of podAmounts(pod, "limits"))
    if (shortRequests.includes(name)) yield [`limits.${name}`, amount];
}

function* claimMeasures(claim: JsonObject): Generator<readonly [string, Quantity]> {
  const spec = childOf(claim, "spec");
  const storage = amountsOf(childOf(childOf(spec, "resources"), "requests")).get("storage") ?? count(0);
  const annotated = textMapOf(childOf(claim, "metadata"), "annotations");
  const name = textOf(spec, "storageClassName") || annotated["volume.beta.kubernetes.io/storage-class"];
  yield ["requests.storage", storage];
  if (name === undefined || name === "") return;
  yield [`${name}.storageclass.storage.k8s.io/requests.storage`, storage];
  yield [`${name}.storageclass.storage.k8s.io/persistentvolumeclaims`, count(1)];
}

function* serviceMeasures(service: JsonObject): Generator<readonly [string, Quantity]> {
  const spec = childOf(service, "spec");
  const ports = itemsOf(spec, "ports");
  const own = spec?.allocateLoadBalancerNodePorts !== false || ports.some(({ nodePort }) => nodePort);
  if (spec?.type === "NodePort" || (spec?.type === "LoadBalancer" && own))
    yield ["services.nodeports", count(ports.length)];
  if (spec?.type === "LoadBalancer") yield ["services.loadbalancers", count(1)];
}

/** Requests and limits that each container has to name when a quota bounds them. */
const perContainer: Readonly<Record<string, readonly ["requests" | "limits", string]>> = {
  cpu: ["requests", "cpu"],
  memory: ["requests", "memory"],
  "requests.cpu": ["requests", "cpu"],
  "requests.memory": ["requests", "memory"],
  "limits.cpu": ["limits", "cpu"],
  "limits.memory": ["limits", "memory"],
};

/** `cpu for: c1,c2` for each bounded resource that containers of a pod do not name. */
export function unnamedResources(pod: JsonObject, bounded: Iterable<string>): string[] {
  const spec = childOf(pod, "spec");
  const containers = [...itemsOf(spec, "containers"), ...itemsOf(spec, "initContainers")];
  return [...bounded].toSorted().flatMap((name) => {
    const [field, resource] = perContainer[name] ?? [];
    if (field === undefined || resource === undefined) return [];
    const lacking = containers.filter(
      (container) => childOf(childOf(container, "resources"), field)?.[resource] === undefined,
    );
    if (lacking.length === 0) return [];
    return [`${name} for: ${lacking.map((container) => textOf(container, "name")).join(",")}`];
  });
}
