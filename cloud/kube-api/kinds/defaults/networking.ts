import { childOf, ensureChild, itemsOf, setDefault, setDefaultText, type JsonObject } from "#shared/json";

export function defaultNetworkPolicy(object: JsonObject): void {
  const spec = ensureChild(object, "spec");
  setDefault(spec, "podSelector", {});
  for (const rule of [...itemsOf(spec, "ingress"), ...itemsOf(spec, "egress")])
    for (const port of itemsOf(rule, "ports")) setDefaultText(port, "protocol", "TCP");
  const egress = itemsOf(spec, "egress").length > 0;
  setDefault(spec, "policyTypes", egress ? ["Ingress", "Egress"] : ["Ingress"]);
}

export function defaultIngress(object: JsonObject): void {
  ensureChild(ensureChild(object, "status"), "loadBalancer");
}

export function defaultIngressClass(object: JsonObject): void {
  const parameters = childOf(childOf(object, "spec"), "parameters");
  if (parameters) setDefaultText(parameters, "scope", "Cluster");
}
