import {
  configKey,
  dnsLabel,
  dnsSubdomain,
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
  tooMany,
  validateSelector,
} from "#cloud/kube-api/kinds/validation/basics";
import type { FieldError } from "#cloud/kube-api/schema";
import {
  childOf,
  isObject,
  itemsOf,
  numberOf,
  textMapOf,
  textOf,
  textsOf,
  tryJson,
  type Json,
  type JsonObject,
} from "#shared/json";
import { formatQuantity, parseQuantity } from "#shared/kube";
import { isIP } from "node:net";
import { validateCidr } from "./networking.ts";
import { validateExternalIp } from "./services.ts";
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
      errors.push(invalid(`data[${key}]`, key, "duplicate of key present in binaryData"));
  const size = byteSize(Object.values(text)) + (byteSize(Object.values(binary)) * 3) / 4;
  return size > sizeLimit ? [...errors, tooLarge("")] : errors;
}

export function validateSecret(object: JsonObject): FieldError[] {
  const data = textMapOf(object, "data");
  const errors = Object.keys(data).flatMap((key) =>
    configKey(key).map((problem) => invalid(`data[${key}]`, key, problem)),
  );
  if ((byteSize(Object.values(data)) * 3) / 4 > sizeLimit) errors.push(tooLarge("data"));
  return [...errors, ...validateSecretType(object, data)];
}

function validateSecretType(object: JsonObject, data: Record<string, string>): FieldError[] {
  const type = textOf(object, "type");
  const needed = neededKeys.get(type) ?? [];
  const errors = needed.filter((key) => data[key] === undefined).map((key) => required(`data[${key}]`));
  const account = "kubernetes.io/service-account.name";
  const annotations = textMapOf(childOf(object, "metadata"), "annotations");
  if (type === "kubernetes.io/service-account-token" && (annotations[account] ?? "") === "")
    errors.push(required(`metadata.annotations[${account}]`));
  if (type === "kubernetes.io/basic-auth" && data.username === undefined && data.password === undefined)
    errors.push(required("data[username]"), required("data[password]"));
  for (const key of dockerTypes.has(type) ? needed : [])
    if (data[key] !== undefined && !isJsonObject(data[key]))
      errors.push(invalid(`data[${key}]`, "<secret contents redacted>", "invalid character in JSON"));
  return errors;
}

/** Their data is JSON. */
const dockerTypes = new Set(["kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"]);

/** As Go reads one: null is an empty one. */
function isJsonObject(base64: string): boolean {
  const value = tryJson(Buffer.from(base64, "base64").toString());
  return value === null || isObject(value);
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

/** What a node has; of a new one too, which may register with it. */
export function validateNodeStatus(status: JsonObject): FieldError[] {
  return ["capacity", "allocatable"].flatMap((field) =>
    Object.entries(textMapOf(status, field)).flatMap(([name, amount]) => {
      const quantity = parseQuantity(amount);
      return quantity !== undefined && quantity.nano < 0n
        ? [invalid(`status.${field}.${name}`, formatQuantity(quantity), "must be greater than or equal to 0")]
        : [];
    }),
  );
}

export function validateNode(object: JsonObject): FieldError[] {
  const ranges = textsOf(childOf(object, "spec"), "podCIDRs");
  return [
    ...validateTaints(object),
    ...eachOf(ranges, (range, index) => validateCidr(range, `spec.podCIDRs[${index}]`)),
    ...validateNodeStatus(childOf(object, "status") ?? {}),
  ];
}

function validateTaints(object: JsonObject): FieldError[] {
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

/** Characters of the texts that say who did what, as upstream. */
const eventTextLimit = 128;
const eventMessageLimit = 1024;

/** Of a new Event, and of a changed one: `legacyValidateEvent`, which knows fields by their internal names. */
export function validateEvent(object: JsonObject): FieldError[] {
  const namespace = textOf(childOf(object, "metadata"), "namespace");
  const about = textOf(childOf(object, "involvedObject"), "namespace");
  const mismatch = invalid("involvedObject.namespace", about, "does not match event.namespace");
  if (textOf(object, "eventTime") === "")
    return (about === "" ? namespace === "default" : about === namespace) ? [] : [mismatch];
  const isPlaced = about !== "" || namespace === "default" || namespace === "kube-system";
  const controller = textOf(object, "reportingComponent");
  return [
    ...(isPlaced ? [] : [mismatch]),
    ...(controller === "" ? [required("reportingController")] : []),
    ...qualifiedName(controller).map((text) => invalid("reportingController", controller, text)),
    ...["reportingInstance", "action", "reason"].flatMap((field) => {
      const text = textOf(object, field);
      return text === "" ? [required(field)] : boundedText(field, text, eventTextLimit);
    }),
    ...boundedText("message", textOf(object, "message"), eventMessageLimit),
  ];
}

function boundedText(field: string, text: string, limit: number): FieldError[] {
  return Buffer.byteLength(text) > limit ? [invalid(field, "", `can have at most ${limit} characters`)] : [];
}

export function validateEndpoints(object: JsonObject): FieldError[] {
  return eachOf(itemsOf(object, "subsets"), (subset, index) => {
    const path = `subsets[${index}]`;
    const lists = ["addresses", "notReadyAddresses"].map((field) => ({
      field,
      items: itemsOf(subset, field),
    }));
    if (lists.every(({ items }) => items.length === 0))
      return [required(path, "must specify `addresses` or `notReadyAddresses`")];
    const ports = itemsOf(subset, "ports");
    return [
      ...lists.flatMap(({ field, items }) =>
        eachOf(items, (address, place) => validateAddress(address, `${path}.${field}[${place}]`)),
      ),
      ...eachOf(ports, (port, place) =>
        validateEndpointPort(port, { path: `${path}.ports[${place}]`, isNamed: ports.length > 1 }),
      ),
    ];
  });
}

/** Unlike upstream's, they may be of the loopback: a webhook that runs beside cloudcore is reached there. */
const loopback = /^(127\.[\d.]+|::1)$/;

function validateAddress(address: JsonObject, path: string): FieldError[] {
  const ip = textOf(address, "ip");
  return [...(loopback.test(ip) ? [] : validateExternalIp(ip, `${path}.ip`)), ...validateHost(address, path)];
}

/** Names of what is at an address. */
function validateHost(address: JsonObject, path: string): FieldError[] {
  const hostname = textOf(address, "hostname");
  const node = textOf(address, "nodeName");
  return [
    ...(hostname === "" ? [] : dnsLabel(hostname).map((text) => invalid(`${path}.hostname`, hostname, text))),
    ...(node === "" ? [] : dnsSubdomain(node).map((text) => invalid(`${path}.nodeName`, node, text))),
  ];
}

function validateEndpointPort(
  port: JsonObject,
  { path, isNamed }: { readonly path: string; readonly isNamed: boolean },
): FieldError[] {
  const name = textOf(port, "name");
  const number = numberOf(port, "port") ?? 0;
  return [
    ...(isNamed && name === "" ? [required(`${path}.name`)] : []),
    ...(name === "" ? [] : dnsLabel(name).map((text) => invalid(`${path}.name`, name, text))),
    ...(isPort(number) ? [] : [invalid(`${path}.port`, number, portText)]),
    ...requiredOneOf(port, "protocol", { path, values: ["SCTP", "TCP", "UDP"] }),
  ];
}

const addressTypes = ["FQDN", "IPv4", "IPv6"];
const mostAddresses = 100;

export function validateEndpointSlice(object: JsonObject): FieldError[] {
  const type = textOf(object, "addressType");
  const names = new Set<string>();
  return [
    ...requiredOneOf(object, "addressType", { path: "", values: addressTypes }),
    ...eachOf(itemsOf(object, "endpoints"), (endpoint, index) => {
      const path = `endpoints[${index}]`;
      const addresses = textsOf(endpoint, "addresses");
      return [
        ...(addresses.length === 0
          ? [required(`${path}.addresses`, "must contain at least 1 address")]
          : addresses.length > mostAddresses
            ? [tooMany(`${path}.addresses`, addresses.length, mostAddresses)]
            : []),
        ...eachOf(addresses, (address, place) =>
          validateSliceAddress(address, type, `${path}.addresses[${place}]`),
        ),
        ...validateHost(endpoint, path),
      ];
    }),
    ...eachOf(itemsOf(object, "ports"), (port, index) => {
      const name = textOf(port, "name");
      const path = `ports[${index}]`;
      const again = names.has(name);
      names.add(name);
      return [
        ...(name === "" ? [] : dnsLabel(name).map((text) => invalid(`${path}.name`, name, text))),
        ...(again ? [duplicate(`${path}.name`, name)] : []),
        ...requiredOneOf(port, "protocol", { path, values: ["SCTP", "TCP", "UDP"] }),
      ];
    }),
  ];
}

function validateSliceAddress(address: string, type: string, path: string): FieldError[] {
  if (type === "FQDN") return dnsSubdomain(address).map((text) => invalid(path, address, text));
  const isSix = address.includes(":");
  if (type === "IPv4" && (isSix || isIP(address) === 0))
    return [invalid(path, address, "must be a valid IPv4 address")];
  if (type === "IPv6" && (!isSix || isIP(address) === 0))
    return [invalid(path, address, "must be a valid IPv6 address")];
  return addressTypes.includes(type) ? validateExternalIp(address, path) : [];
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

/** @param kinds of the roles that it may bind: a ClusterRoleBinding binds no Role, which is of one namespace */
export function validateRoleBinding(object: JsonObject, kinds = ["ClusterRole", "Role"]): FieldError[] {
  const ref = childOf(object, "roleRef");
  const errors: FieldError[] = [];
  const group = textOf(ref, "apiGroup");
  if (group !== "rbac.authorization.k8s.io")
    errors.push(notSupported("roleRef.apiGroup", group, ["rbac.authorization.k8s.io"]));
  const kind = textOf(ref, "kind");
  if (!kinds.includes(kind)) errors.push(notSupported("roleRef.kind", kind, kinds));
  if (textOf(ref, "name") === "") errors.push(required("roleRef.name"));
  for (const [index, subject] of itemsOf(object, "subjects").entries()) {
    const path = `subjects[${index}]`;
    if (textOf(subject, "name") === "") errors.push(required(`${path}.name`));
    const subjectKind = textOf(subject, "kind");
    if (!["ServiceAccount", "User", "Group"].includes(subjectKind))
      errors.push(notSupported(`${path}.kind`, subjectKind, ["Group", "ServiceAccount", "User"]));
    else errors.push(...validateSubject(subject, subjectKind, path));
  }
  return errors;
}

function validateSubject(subject: JsonObject, kind: string, path: string): FieldError[] {
  const group = textOf(subject, "apiGroup");
  const wanted = kind === "ServiceAccount" ? "" : "rbac.authorization.k8s.io";
  const errors = group === wanted ? [] : [notSupported(`${path}.apiGroup`, group, [wanted])];
  if (kind !== "ServiceAccount") return errors;
  const name = textOf(subject, "name");
  if (name !== "") errors.push(...dnsSubdomain(name).map((text) => invalid(`${path}.name`, name, text)));
  return textOf(subject, "namespace") === "" ? [...errors, required(`${path}.namespace`)] : errors;
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
