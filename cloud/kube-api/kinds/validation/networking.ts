import {
  dns1035Label,
  dnsSubdomain,
  eachOf,
  forbidden,
  invalid,
  isPort,
  notSupported,
  portName,
  portText,
  qualifiedName,
  required,
  validateLabels,
  validateSelector,
} from "#cloud/kube-api/kinds/validation/basics";
import { isIP } from "node:net";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, itemsOf, numberOf, textMapOf, textOf, textsOf, type JsonObject } from "#shared/json";

const pathTypes = ["Exact", "ImplementationSpecific", "Prefix"];

/** After pkg/apis/networking/validation. */
export function validateIngress(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec");
  const rules = itemsOf(spec, "rules");
  const backend = childOf(spec, "defaultBackend");
  if (!backend && rules.length === 0)
    return [invalid("spec", rules, "either `defaultBackend` or `rules` must be specified")];
  return [
    ...(backend ? validateBackend(backend, "spec.defaultBackend") : []),
    ...eachOf(rules, (rule, index) => validateIngressRule(rule, `spec.rules[${index}]`)),
    ...eachOf(itemsOf(spec, "tls"), (tls, index) =>
      textsOf(tls, "hosts").flatMap((host, place) =>
        validateHost(host, `spec.tls[${index}].hosts[${place}]`),
      ),
    ),
    ...validateClassName(textOf(spec, "ingressClassName")),
  ];
}

function validateClassName(name: string): FieldError[] {
  const field = "spec.ingressClassName";
  return name === "" ? [] : dnsSubdomain(name).map((text) => invalid(field, name, text));
}

function validateIngressRule(rule: JsonObject, path: string): FieldError[] {
  const host = textOf(rule, "host");
  const http = childOf(rule, "http");
  const errors = host === "" ? [] : validateHost(host, `${path}.host`);
  if (!http) return errors;
  const paths = itemsOf(http, "paths");
  if (paths.length === 0) errors.push(required(`${path}.http.paths`));
  return [
    ...errors,
    ...eachOf(paths, (one, index) => validateIngressPath(one, `${path}.http.paths[${index}]`)),
  ];
}

function validateHost(host: string, field: string): FieldError[] {
  if (isIP(host) !== 0) return [invalid(field, host, "must be a DNS name, not an IP address")];
  return dnsSubdomain(host.replace(/^\*\./, "")).map((text) => invalid(field, host, text));
}

function validateIngressPath(one: JsonObject, field: string): FieldError[] {
  const type = textOf(one, "pathType");
  const path = textOf(one, "path");
  const errors: FieldError[] = [];
  if (type === "") errors.push(required(`${field}.pathType`, "pathType must be specified"));
  else if (!pathTypes.includes(type)) errors.push(notSupported(`${field}.pathType`, type, pathTypes));
  const absolute = path.startsWith("/") || (path === "" && type === "ImplementationSpecific");
  if (!absolute) errors.push(invalid(`${field}.path`, path, "must be an absolute path"));
  if (type !== "ImplementationSpecific") errors.push(...validateParts(path, `${field}.path`));
  const backend = childOf(one, "backend");
  return [...errors, ...(backend ? validateBackend(backend, `${field}.backend`) : [])];
}

const badParts = ["//", "/./", "/../", "%2f", "%2F"];
const badEnds = ["/..", "/."];

function validateParts(path: string, field: string): FieldError[] {
  return [
    ...badParts
      .filter((part) => path.includes(part))
      .map((part) => invalid(field, path, `must not contain '${part}'`)),
    ...badEnds
      .filter((part) => path.endsWith(part))
      .map((part) => invalid(field, path, `cannot end with '${part}'`)),
  ];
}

function validateBackend(backend: JsonObject, path: string): FieldError[] {
  const service = childOf(backend, "service");
  const resource = childOf(backend, "resource");
  if (service && resource) return [invalid(path, {}, "cannot set both resource and service backends")];
  if (resource) return [];
  if (!service) return [required(path, "port name or number is required")];
  const name = textOf(service, "name");
  const errors =
    name === ""
      ? [required(`${path}.service.name`)]
      : dns1035Label(name).map((text) => invalid(`${path}.service.name`, name, text));
  return [...errors, ...validateBackendPort(childOf(service, "port"), path)];
}

function validateBackendPort(port: JsonObject | undefined, path: string): FieldError[] {
  const name = textOf(port, "name");
  const number = numberOf(port, "number") ?? 0;
  if (name === "" && number === 0) return [required(path, "port name or number is required")];
  if (name !== "" && number !== 0) return [invalid(path, {}, "cannot set both port name & port number")];
  if (name !== "") return portName(name).map((text) => invalid(`${path}.service.port.name`, name, text));
  return isPort(number) ? [] : [invalid(`${path}.service.port.number`, number, portText)];
}

export function validateIngressClass(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec");
  const controller = textOf(spec, "controller");
  const field = "spec.controller";
  if (controller.length > 250) return [invalid(field, controller, "must have at most 250 bytes")];
  const name = controller.toLowerCase();
  const problems = name.includes("/")
    ? dnsSubdomain(name.slice(0, name.indexOf("/")))
    : ['must be a domain-prefixed path (such as "acme.io/foo")'];
  return controller === "" ? [required(field)] : problems.map((text) => invalid(field, controller, text));
}

export function validateNetworkPolicy(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec");
  const types = textsOf(spec, "policyTypes");
  return [
    ...validateSelector(childOf(spec, "podSelector"), "spec.podSelector"),
    ...(["ingress", "egress"] as const).flatMap((field) =>
      eachOf(itemsOf(spec, field), (rule, index) =>
        validatePolicyRule(rule, `spec.${field}[${index}]`, field === "ingress" ? "from" : "to"),
      ),
    ),
    ...(types.length > 2
      ? [invalid("spec.policyTypes", types, "may not specify more than two policyTypes")]
      : []),
    ...types
      .filter((type) => type !== "Ingress" && type !== "Egress")
      .map((type) => notSupported("spec.policyTypes", type, ["Egress", "Ingress"])),
  ];
}

function validatePolicyRule(rule: JsonObject, path: string, peers: "from" | "to"): FieldError[] {
  const ports = eachOf(itemsOf(rule, "ports"), (port, index) =>
    validatePolicyPort(port, `${path}.ports[${index}]`),
  );
  const others = eachOf(itemsOf(rule, peers), (peer, index) =>
    validatePeer(peer, `${path}.${peers}[${index}]`),
  );
  return [...ports, ...others];
}

function validatePolicyPort(rule: JsonObject, path: string): FieldError[] {
  const { port } = rule;
  const protocol = textOf(rule, "protocol");
  const errors = ["SCTP", "TCP", "UDP"].includes(protocol)
    ? []
    : [notSupported(`${path}.protocol`, protocol, ["SCTP", "TCP", "UDP"])];
  if (typeof port === "number" && !isPort(port)) errors.push(invalid(`${path}.port`, port, portText));
  if (typeof port === "string")
    errors.push(...portName(port).map((text) => invalid(`${path}.port`, port, text)));
  const end = numberOf(rule, "endPort");
  if (end === undefined) return errors;
  if (typeof port !== "number")
    return [...errors, invalid(`${path}.endPort`, end, "may not be specified when `port` is not specified")];
  return end < port
    ? [...errors, invalid(`${path}.endPort`, end, "must be greater than or equal to `port`")]
    : errors;
}

function validatePeer(peer: JsonObject, path: string): FieldError[] {
  const block = childOf(peer, "ipBlock");
  const pods = childOf(peer, "podSelector");
  const namespaces = childOf(peer, "namespaceSelector");
  if (!block && !pods && !namespaces) return [required(path, "must specify a peer")];
  if (block && (pods || namespaces))
    return [forbidden(path, "may not specify both ipBlock and another peer")];
  return [
    ...(block ? validateBlock(block, `${path}.ipBlock`) : []),
    ...(pods ? validateSelector(pods, `${path}.podSelector`) : []),
    ...(namespaces ? validateSelector(namespaces, `${path}.namespaceSelector`) : []),
  ];
}

function validateBlock(block: JsonObject, path: string): FieldError[] {
  const cidr = textOf(block, "cidr");
  if (cidr === "") return [required(`${path}.cidr`)];
  return [
    ...validateCidr(cidr, `${path}.cidr`),
    ...textsOf(block, "except").flatMap((one, index) => validateCidr(one, `${path}.except[${index}]`)),
  ];
}

export function validateCidr(text: string, path: string): FieldError[] {
  const problem = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
  return isCidr(text) ? [] : [invalid(path, text, problem)];
}

function isCidr(text: string): boolean {
  const [address = "", bits = "", ...more] = text.split("/");
  const family = isIP(address);
  return (
    family !== 0 && more.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128)
  );
}

export function validateRuntimeClass(object: JsonObject): FieldError[] {
  const scheduling = childOf(object, "scheduling");
  const handler = textOf(object, "handler");
  const errors =
    handler === ""
      ? [required("handler")]
      : dnsSubdomain(handler).map((text) => invalid("handler", handler, text));
  const selector = textMapOf(scheduling, "nodeSelector");
  return [...errors, ...validateLabels(selector, "scheduling.nodeSelector")];
}

export function validateProvisioner(name: string, field: string): FieldError[] {
  if (name === "") return [required(field)];
  return qualifiedName(name.toLowerCase()).map((text) => invalid(field, name, text));
}
