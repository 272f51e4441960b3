import { dnsSubdomain, invalid, notNegative } from "#cloud/kube-api/kinds/validation";
import { definitionName, type FieldError, type KindInfo } from "#cloud/kube-api/schema";
import { childOf, itemsOf, numberOf, textOf, type JsonObject } from "#shared/json";
import { isIP } from "node:net";

type Rule = (status: JsonObject) => FieldError[];

const rules: Readonly<Record<string, Rule>> = {
  "core.v1.Pod": validatePodStatus,
  "core.v1.Service": validateServiceStatus,
  "apps.v1.Deployment": validateDeploymentStatus,
};

/** Errors of a status that is written through its subresource. */
export function validateStatus(kind: KindInfo, object: JsonObject): FieldError[] {
  return rules[definitionName(kind)]?.(childOf(object, "status") ?? {}) ?? [];
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

const counts = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas"];

/** After `ValidateDeploymentStatus`. */
function validateDeploymentStatus(status: JsonObject): FieldError[] {
  const countOf = (field: string): number => numberOf(status, field) ?? 0;
  const above = ["updatedReplicas", "readyReplicas", "availableReplicas"].filter(
    (field) => countOf(field) > countOf("replicas"),
  );
  const available = countOf("availableReplicas");
  return [
    ...notNegative(status, ["observedGeneration", ...counts, "collisionCount"], "status"),
    ...above.map((field) =>
      invalid(`status.${field}`, countOf(field), "cannot be greater than status.replicas"),
    ),
    ...(available > countOf("readyReplicas")
      ? [invalid("status.availableReplicas", available, "cannot be greater than readyReplicas")]
      : []),
  ];
}
