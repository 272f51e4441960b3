import {
  dnsLabel,
  dnsSubdomain,
  duplicate,
  eachOf,
  forbidden,
  invalid,
  isPort,
  notSupported,
  optionalOneOf,
  portText,
  qualifiedName,
  required,
  requiredOneOf,
  validateLabels,
} from "#cloud/kube-api/kinds/validation/basics";
import { validateTargetPort } from "#cloud/kube-api/kinds/validation/pods";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, itemsOf, numberOf, textMapOf, textOf, textsOf, type JsonObject } from "#shared/json";

const types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const families = ["IPv4", "IPv6"];
const familyPolicies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
const ipText = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const kubeletPort = 10_250;

/** After `ValidateService` of pkg/apis/core/validation. */
export function validateService(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec") ?? {};
  const ports = itemsOf(spec, "ports");
  const headless = spec.clusterIP === "None";
  return [
    ...(ports.length === 0 && !headless && spec.type !== "ExternalName" ? [required("spec.ports")] : []),
    ...validateByType(spec, ports),
    ...validatePorts(ports),
    ...validateLabels(textMapOf(spec, "selector"), "spec.selector"),
    ...requiredOneOf(spec, "sessionAffinity", { path: "spec", values: ["ClientIP", "None"] }),
    ...validateAffinity(spec),
    ...(spec.type === "ExternalName" ? [] : validateAddresses(spec)),
    ...eachOf(textsOf(spec, "externalIPs"), (ip, index) =>
      validateExternalIp(ip, `spec.externalIPs[${index}]`),
    ),
    ...requiredOneOf(spec, "type", { path: "spec", values: types }),
    ...validateNodePorts(spec, ports),
    ...validateBalancer(spec),
    ...validateTraffic(spec),
  ];
}

function validateByType(spec: JsonObject, ports: readonly JsonObject[]): FieldError[] {
  const type = textOf(spec, "type");
  if (type === "ExternalName") return validateExternalName(spec);
  if (type !== "LoadBalancer" && type !== "NodePort") return [];
  const reserved = ports.findIndex((port) => port.port === kubeletPort);
  const text = `may not expose port ${kubeletPort} externally since it is used by kubelet`;
  return [
    ...(type === "LoadBalancer" && reserved >= 0
      ? [invalid(`spec.ports[${reserved}]`, kubeletPort, text)]
      : []),
    ...(spec.clusterIP === "None"
      ? [invalid("spec.clusterIPs[0]", "None", `may not be set to 'None' for ${type} services`)]
      : []),
  ];
}

function validateExternalName(spec: JsonObject): FieldError[] {
  const addressed = textOf(spec, "clusterIP") !== "" || textsOf(spec, "clusterIPs").length > 0;
  const text = "may not be set for ExternalName services";
  const name = textOf(spec, "externalName").replace(/\.$/, "");
  return [
    ...(addressed ? [forbidden("spec.clusterIPs", text)] : []),
    ...["ipFamilies", "ipFamilyPolicy"]
      .filter((field) => spec[field] !== undefined)
      .map((field) => forbidden(`spec.${field}`, text)),
    ...(name === "" ? [required("spec.externalName")] : []),
    ...(name === "" ? [] : dnsSubdomain(name).map((problem) => invalid("spec.externalName", name, problem))),
  ];
}

function validatePorts(ports: JsonObject[]): FieldError[] {
  const names = new Set<string>();
  const numbers = new Set<string>();
  return eachOf(ports, (port, index) => {
    const path = `spec.ports[${index}]`;
    const errors: FieldError[] = [];
    const name = textOf(port, "name");
    if (name === "" && ports.length > 1) errors.push(required(`${path}.name`));
    else if (name !== "") errors.push(...dnsLabel(name).map((text) => invalid(`${path}.name`, name, text)));
    if (name !== "" && names.has(name)) errors.push(duplicate(`${path}.name`, name));
    names.add(name);
    const number = numberOf(port, "port") ?? 0;
    if (!isPort(number)) errors.push(invalid(`${path}.port`, number, portText));
    errors.push(...requiredOneOf(port, "protocol", { path, values: ["SCTP", "TCP", "UDP"] }));
    errors.push(...validateTargetPort(port, `${path}.targetPort`));
    const protocol = textOf(port, "appProtocol");
    if (protocol !== "")
      errors.push(...qualifiedName(protocol).map((text) => invalid(`${path}.appProtocol`, protocol, text)));
    const key = `${textOf(port, "protocol")}/${number}`;
    if (numbers.has(key))
      errors.push(duplicate(path, { port: String(number), protocol: textOf(port, "protocol") }));
    numbers.add(key);
    return errors;
  });
}

const longestAffinity = 86_400;

function validateAffinity(spec: JsonObject): FieldError[] {
  const config = childOf(spec, "sessionAffinityConfig");
  const path = "spec.sessionAffinityConfig";
  if (spec.sessionAffinity === "None")
    return config === undefined ? [] : [forbidden(path, "must not be set when session affinity is None")];
  if (spec.sessionAffinity !== "ClientIP") return [];
  const seconds = numberOf(childOf(config, "clientIP"), "timeoutSeconds") ?? 0;
  if (seconds > 0 && seconds <= longestAffinity) return [];
  const text = `must be greater than 0 and less than ${longestAffinity}`;
  return [invalid(`${path}.clientIP.timeoutSeconds`, seconds, text)];
}

const ipv4 = /^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$/;
const ipv6 = /^[0-9a-fA-F:.]{2,45}$/;

function familyOf(ip: string): "IPv4" | "IPv6" | undefined {
  if (ipv4.test(ip)) return "IPv4";
  return ip.includes(":") && ipv6.test(ip) ? "IPv6" : undefined;
}

/** The addresses in the cluster; what is asked of them beyond their form, their allocation decides. */
function validateAddresses(spec: JsonObject): FieldError[] {
  const ip = textOf(spec, "clusterIP");
  const ips = textsOf(spec, "clusterIPs");
  const path = "spec.clusterIPs";
  const errors: FieldError[] = [];
  if (ip !== "" && ips.length > 0 && ips[0] !== ip)
    errors.push(invalid(path, ips, "first value must match `clusterIP`"));
  if (ip === "" && ips.length > 0)
    errors.push(invalid(path, ips, "must be empty when `clusterIP` is not specified"));
  errors.push(
    ...validateFamilies(spec),
    ...eachOf(ips, (one, index) =>
      one === "None" || familyOf(one) !== undefined ? [] : [invalid(`${path}[${index}]`, one, ipText)],
    ),
  );
  if (ips.includes("None") && ips.length > 1)
    errors.push(invalid(path, ips, "'None' must be the first and only value"));
  return errors;
}

/** The cluster has addresses of IPv4 alone, as one that was started with one range of them. */
function validateFamilies(spec: JsonObject): FieldError[] {
  const asked = textsOf(spec, "ipFamilies");
  const policy = textOf(spec, "ipFamilyPolicy");
  const path = "spec.ipFamilies";
  const errors = eachOf(asked, (family, index) => {
    const place = `${path}[${index}]`;
    if (!families.includes(family)) return [notSupported(place, family, families)];
    return asked.indexOf(family) < index ? [duplicate(place, family)] : [];
  });
  errors.push(...optionalOneOf(spec, "ipFamilyPolicy", { path: "spec", values: familyPolicies }));
  // One without address and selector has whatever endpoints somebody gives it.
  const isFree = spec.clusterIP === "None" && Object.keys(textMapOf(spec, "selector")).length === 0;
  if (errors.length > 0 || isFree) return errors;
  if (policy === "RequireDualStack") {
    const text = "this cluster is not configured for dual-stack services";
    return [invalid("spec.ipFamilyPolicy", policy, text)];
  }
  const other = asked.indexOf("IPv6");
  return other < 0 ? [] : [invalid(`${path}[${other}]`, "IPv6", "not configured on this cluster")];
}

/** Addresses that every machine has, or none. */
const specialIps: readonly (readonly [RegExp, string])[] = [
  [/^(0\.0\.0\.0|::)$/, "may not be unspecified (0.0.0.0 or ::)"],
  [/^(127\..*|::1)$/, "may not be in the loopback range (127.0.0.0/8, ::1/128)"],
  [/^(169\.254\..*|fe[89ab].*)$/i, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"],
  [/^(224\.0\.0\..*|ff02.*)$/i, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"],
];

/** An address outside of a cluster that is used in it. */
export function validateExternalIp(ip: string, path: string): FieldError[] {
  if (familyOf(ip) === undefined) return [invalid(path, ip, ipText)];
  return specialIps.filter(([range]) => range.test(ip)).map(([, text]) => invalid(path, ip, text));
}

function validateNodePorts(spec: JsonObject, ports: readonly JsonObject[]): FieldError[] {
  const seen = new Set<string>();
  return eachOf(ports, (port, index) => {
    const number = numberOf(port, "nodePort") ?? 0;
    const path = `spec.ports[${index}].nodePort`;
    if (number === 0) return [];
    if (spec.type === "ClusterIP") return [forbidden(path, "may not be used when `type` is 'ClusterIP'")];
    const key = `${textOf(port, "protocol")}/${number}`;
    const again = seen.has(key);
    seen.add(key);
    return again ? [duplicate(path, number)] : [];
  });
}

const rangePattern = /^\s*[0-9a-fA-F.:]+\/\d{1,3}\s*$/;

function validateBalancer(spec: JsonObject): FieldError[] {
  const ranges = textsOf(spec, "loadBalancerSourceRanges");
  const path = "spec.LoadBalancerSourceRanges";
  const text = "may only be used when `type` is 'LoadBalancer'";
  const isBalancer = spec.type === "LoadBalancer";
  const wrong = ranges.some((range) => !rangePattern.test(range));
  const list = "must be a list of IP ranges. For example, 10.240.0.0/24,10.250.0.0/24 ";
  const className = textOf(spec, "loadBalancerClass");
  return [
    ...(ranges.length > 0 && !isBalancer ? [forbidden(path, text)] : []),
    ...(wrong ? [invalid(path, `[${ranges.join(" ")}]`, list)] : []),
    ...(spec.allocateLoadBalancerNodePorts !== undefined && !isBalancer
      ? [forbidden("spec.allocateLoadBalancerNodePorts", text)]
      : []),
    ...(className !== "" && !isBalancer ? [forbidden("spec.loadBalancerClass", text)] : []),
    ...(className === ""
      ? []
      : qualifiedName(className).map((problem) => invalid("spec.loadBalancerClass", className, problem))),
  ];
}

function validateTraffic(spec: JsonObject): FieldError[] {
  const outside = textOf(spec, "externalTrafficPolicy");
  const exposed = spec.type === "NodePort" || spec.type === "LoadBalancer";
  const checked = spec.type === "LoadBalancer" && outside === "Local";
  const port = numberOf(spec, "healthCheckNodePort") ?? 0;
  const policies = ["Cluster", "Local"];
  const errors: FieldError[] = [];
  if (outside !== "" && !exposed) {
    const text = "may only be set when `type` is 'NodePort' or 'LoadBalancer'";
    errors.push(invalid("spec.externalTrafficPolicy", outside, text));
  } else if (outside !== "" && !policies.includes(outside))
    errors.push(notSupported("spec.externalTrafficPolicy", outside, policies));
  if (port !== 0 && !checked) {
    const text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
    errors.push(invalid("spec.healthCheckNodePort", port, text));
  }
  return [...errors, ...optionalOneOf(spec, "internalTrafficPolicy", { path: "spec", values: policies })];
}
