import {
  configKey,
  dnsLabel,
  duplicate,
  eachOf,
  invalid,
  isPort,
  labelValue,
  notSupported,
  portText,
  qualifiedName,
  required,
  requiredOneOf,
  validateLabels,
  validateSelector,
} from "#cloud/kube-api/kinds/validation/basics";
import type { FieldError } from "#cloud/kube-api/schema";
import {
  childOf,
  itemsOf,
  numberOf,
  textMapOf,
  textOf,
  textsOf,
  type Json,
  type JsonObject,
} from "#shared/json";
import { validateTargetPort } from "#cloud/kube-api/kinds/validation/pods";
import { notNegative, validatePart } from "./workload.ts";

/** Bytes of the data of a ConfigMap or Secret, as upstream (MaxSecretSize): an object of etcd has 1.5 MiB. */
const sizeLimit = 1024 * 1024;

export function validateConfigMap(object: JsonObject): FieldError[] {
  const text = textMapOf(object, "data");
  const binary = textMapOf(object, "binaryData");
  const errors: FieldError[] = [];
  for (const [field, map] of [
    ["data", text],
    ["binaryData", binary],
  ] as const)
    for (const key of Object.keys(map))
      errors.push(...configKey(key).map((problem) => invalid(`${field}[${key}]`, key, problem)));
  for (const key of Object.keys(text))
    if (Object.hasOwn(binary, key))
      errors.push(invalid("data", key, "duplicate of key present in binaryData"));
  const size = byteSize(Object.values(text)) + (byteSize(Object.values(binary)) * 3) / 4;
  return size > sizeLimit ? [...errors, tooLarge("")] : errors;
}

export function validateSecret(object: JsonObject): FieldError[] {
  const data = textMapOf(object, "data");
  const errors = Object.keys(data).flatMap((key) =>
    configKey(key).map((problem) => invalid(`data[${key}]`, key, problem)),
  );
  if ((byteSize(Object.values(data)) * 3) / 4 > sizeLimit) errors.push(tooLarge("data"));
  for (const key of neededKeys.get(textOf(object, "type")) ?? [])
    if (data[key] === undefined) errors.push(required(`data[${key}]`));
  return errors;
}

const neededKeys: ReadonlyMap<string, readonly string[]> = new Map([
  ["kubernetes.io/tls", ["tls.crt", "tls.key"]],
  ["kubernetes.io/dockerconfigjson", [".dockerconfigjson"]],
  ["kubernetes.io/dockercfg", [".dockercfg"]],
  ["kubernetes.io/ssh-auth", ["ssh-privatekey"]],
]);

function tooLarge(field: string): FieldError {
  return { reason: "FieldValueTooLong", field, message: `Too long: must have at most ${sizeLimit} bytes` };
}

function byteSize(values: readonly string[]): number {
  return values.reduce((sum, value) => sum + Buffer.byteLength(value), 0);
}

const serviceTypes = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

export function validateService(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec") ?? {};
  const ports = itemsOf(spec, "ports");
  const headless = spec.clusterIP === "None";
  const errors: FieldError[] = [];
  if (ports.length === 0 && !headless && spec.type !== "ExternalName") errors.push(required("spec.ports"));
  errors.push(...validateServicePorts(ports));
  errors.push(...requiredOneOf(spec, "type", { path: "spec", values: serviceTypes }));
  errors.push(...requiredOneOf(spec, "sessionAffinity", { path: "spec", values: ["ClientIP", "None"] }));
  errors.push(...validateLabels(textMapOf(spec, "selector"), "spec.selector"));
  if (spec.type === "ExternalName" && textOf(spec, "externalName") === "")
    errors.push(required("spec.externalName"));
  if (headless && (spec.type === "NodePort" || spec.type === "LoadBalancer"))
    errors.push(invalid("spec.clusterIPs[0]", "None", `may not be set to 'None' for ${spec.type} services`));
  return errors;
}

function validateServicePorts(ports: JsonObject[]): FieldError[] {
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
    const key = `${textOf(port, "protocol")}/${number}`;
    if (numbers.has(key))
      errors.push(duplicate(path, { port: String(number), protocol: textOf(port, "protocol") }));
    numbers.add(key);
    return errors;
  });
}

export function validateNode(object: JsonObject): FieldError[] {
  const seen = new Set<string>();
  return eachOf(itemsOf(childOf(object, "spec"), "taints"), (taint, index) => {
    const path = `metadata.taints[${index}]`;
    const key = textOf(taint, "key");
    const value = textOf(taint, "value");
    const errors = qualifiedName(key).map((text) => invalid(`${path}.key`, key, text));
    errors.push(...labelValue(value).map((text) => invalid(`${path}.value`, value, text)));
    errors.push(
      ...requiredOneOf(taint, "effect", { path, values: ["NoSchedule", "PreferNoSchedule", "NoExecute"] }),
    );
    const id = `${key}:${textOf(taint, "effect")}`;
    if (seen.has(id)) errors.push(duplicate(path, id));
    seen.add(id);
    return errors;
  });
}

export function validateLease(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec");
  const errors: FieldError[] = [];
  const seconds = numberOf(spec, "leaseDurationSeconds");
  if (seconds !== undefined && seconds <= 0)
    errors.push(invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"));
  return [...errors, ...notNegative(spec, ["leaseTransitions"])];
}

export function validateEvent(object: JsonObject): FieldError[] {
  const involved = childOf(object, "involvedObject");
  const namespace = textOf(childOf(object, "metadata"), "namespace");
  const about = textOf(involved, "namespace");
  const field = "involvedObject.namespace";
  if (
    about === "" &&
    namespace !== "default" &&
    textOf(involved, "kind") !== "Node" &&
    textOf(involved, "kind") !== ""
  )
    return [invalid(field, about, "does not match event.namespace")];
  return about !== "" && about !== namespace ? [invalid(field, about, "does not match event.namespace")] : [];
}

export function validateEndpoints(object: JsonObject): FieldError[] {
  return itemsOf(object, "subsets").flatMap((subset, index) => {
    const path = `subsets[${index}]`;
    const addresses = [...itemsOf(subset, "addresses"), ...itemsOf(subset, "notReadyAddresses")];
    if (addresses.length === 0) return [required(path, "must specify `addresses` or `notReadyAddresses`")];
    return itemsOf(subset, "ports").flatMap((port, place) =>
      isPort(numberOf(port, "port") ?? 0)
        ? []
        : [invalid(`${path}.ports[${place}].port`, port.port, portText)],
    );
  });
}

export function validateEndpointSlice(object: JsonObject): FieldError[] {
  return requiredOneOf(object, "addressType", { path: "", values: ["FQDN", "IPv4", "IPv6"] }).map(
    (error) => ({
      ...error,
      field: "addressType",
    }),
  );
}

export function validateRole(object: JsonObject): FieldError[] {
  const namespaced = textOf(childOf(object, "metadata"), "namespace") !== "";
  return eachOf(itemsOf(object, "rules"), (rule, index) => {
    const path = `rules[${index}]`;
    const errors =
      textsOf(rule, "verbs").length === 0
        ? [required(`${path}.verbs`, "verbs must contain at least one value")]
        : [];
    const urls = textsOf(rule, "nonResourceURLs");
    if (urls.length > 0) return [...errors, ...validateUrls(rule, urls, { path, namespaced })];
    if (textsOf(rule, "apiGroups").length === 0)
      errors.push(required(`${path}.apiGroups`, "resource rules must supply at least one api group"));
    if (textsOf(rule, "resources").length === 0)
      errors.push(required(`${path}.resources`, "resource rules must supply at least one resource"));
    return errors;
  });
}

function validateUrls(
  rule: JsonObject,
  urls: readonly string[],
  { path, namespaced }: { readonly path: string; readonly namespaced: boolean },
): FieldError[] {
  const field = `${path}.nonResourceURLs`;
  const mixed = ["apiGroups", "resources", "resourceNames"].some((one) => textsOf(rule, one).length > 0);
  const alone = "namespaced rules cannot apply to non-resource URLs";
  const apart = "rules cannot apply to both regular resources and non-resource URLs";
  return [
    ...(namespaced ? [invalid(field, [...urls], alone)] : []),
    ...(mixed ? [invalid(field, [...urls], apart)] : []),
  ];
}

export function validateRoleBinding(object: JsonObject): FieldError[] {
  const ref = childOf(object, "roleRef");
  const errors: FieldError[] = [];
  const group = textOf(ref, "apiGroup");
  if (group !== "rbac.authorization.k8s.io")
    errors.push(notSupported("roleRef.apiGroup", group, ["rbac.authorization.k8s.io"]));
  const kind = textOf(ref, "kind");
  if (kind !== "Role" && kind !== "ClusterRole")
    errors.push(notSupported("roleRef.kind", kind, ["ClusterRole", "Role"]));
  if (textOf(ref, "name") === "") errors.push(required("roleRef.name"));
  for (const [index, subject] of itemsOf(object, "subjects").entries()) {
    const path = `subjects[${index}]`;
    if (textOf(subject, "name") === "") errors.push(required(`${path}.name`));
    const subjectKind = textOf(subject, "kind");
    if (!["ServiceAccount", "User", "Group"].includes(subjectKind))
      errors.push(notSupported(`${path}.kind`, subjectKind, ["Group", "ServiceAccount", "User"]));
    else if (subjectKind === "ServiceAccount" && textOf(subject, "namespace") === "")
      errors.push(required(`${path}.namespace`));
  }
  return errors;
}

const accessModes = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

export function validateClaim(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec");
  const errors = validateModes(spec);
  const storage = childOf(childOf(spec, "resources"), "requests")?.storage;
  if (storage === undefined) errors.push(required("spec.resources[storage]"));
  return errors;
}

export function validatePersistentVolume(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec");
  const errors = validateModes(spec);
  if (childOf(spec, "capacity") === undefined) errors.push(required("spec.capacity"));
  return errors;
}

function validateModes(spec: JsonObject | undefined): FieldError[] {
  const modes = textsOf(spec, "accessModes");
  if (modes.length === 0) return [required("spec.accessModes", "at least 1 access mode is required")];
  return modes
    .filter((mode) => !accessModes.includes(mode))
    .map((mode) => notSupported("spec.accessModes", mode, accessModes));
}

const evictionPolicies = ["AlwaysAllow", "IfHealthyBudget"];

export function validatePodDisruptionBudget(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec");
  if (spec?.minAvailable !== undefined && spec.maxUnavailable !== undefined)
    return [invalid("spec", {}, "minAvailable and maxUnavailable cannot be both set")];
  const policy = textOf(spec, "unhealthyPodEvictionPolicy");
  const errors = ["minAvailable", "maxUnavailable"].flatMap((field) =>
    validateShare(spec?.[field], `spec.${field}`),
  );
  if (policy !== "" && !evictionPolicies.includes(policy))
    errors.push(notSupported("spec.unhealthyPodEvictionPolicy", policy, evictionPolicies));
  return [...errors, ...validateSelector(childOf(spec, "selector"), "spec.selector")];
}

/** A number of pods, or a percentage of at most 100%. */
function validateShare(value: Json | undefined, path: string): FieldError[] {
  const errors = validatePart(value, path);
  const isOver = typeof value === "string" && errors.length === 0 && Number.parseInt(value, 10) > 100;
  return isOver ? [invalid(path, value, "must not be greater than 100%")] : errors;
}
