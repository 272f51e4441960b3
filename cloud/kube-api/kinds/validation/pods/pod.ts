import {
  dnsLabel,
  dnsSubdomain,
  eachOf,
  forbidden,
  invalid,
  notFound,
  notSupported,
  optionalOneOf,
  qualifiedName,
  required,
  requiredOneOf,
  validateLabels,
  validateMaps,
} from "#cloud/kube-api/kinds/validation/basics";
import type { FieldError } from "#cloud/kube-api/schema";
import {
  childOf,
  itemsOf,
  numberOf,
  sameMeaning,
  textMapOf,
  textOf,
  type Json,
  type JsonObject,
} from "#shared/json";
import { mirrorAnnotation } from "#shared/kube";
import { validateContainer, validateContainerNames } from "./container.ts";
import { validateDnsConfig, validateHostAliases } from "./dns.ts";
import { validateOverhead } from "./resources.ts";
import { isGated, requiredField, validateGateUpdate, validateScheduling } from "./scheduling.ts";
import { validatePodSecurity } from "./security.ts";
import { validateVolumes } from "./volume.ts";

const preemptionPolicies = ["PreemptLowerPriority", "Never"];
const restartPolicies = ["Always", "Never", "OnFailure"];
const dnsPolicies = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
const effects = ["NoExecute", "NoSchedule", "PreferNoSchedule"];

export function validatePodSpec(spec: JsonObject, path: string): FieldError[] {
  const volumes = itemsOf(spec, "volumes");
  return [
    ...validateVolumes(volumes, `${path}.volumes`),
    ...validateContainers(spec, { path, volumes: new Set(volumes.map((volume) => textOf(volume, "name"))) }),
    ...requiredOneOf(spec, "restartPolicy", { path, values: restartPolicies }),
    ...requiredOneOf(spec, "dnsPolicy", { path, values: dnsPolicies }),
    ...validateLabels(textMapOf(spec, "nodeSelector"), `${path}.nodeSelector`),
    ...validatePodSecurity(spec, path),
    ...validateDnsConfig(spec, `${path}.dnsConfig`),
    ...validateReadinessGates(spec, `${path}.readinessGates`),
    ...optionalOneOf(spec, "preemptionPolicy", { path, values: preemptionPolicies }),
    ...validateNames(spec, path),
    ...validateNumbers(spec, path),
    ...validateTolerations(spec, `${path}.tolerations`),
    ...validateHostPorts(spec, path),
    ...validateHostAliases(spec, `${path}.hostAliases`),
    ...validateOverhead(spec, `${path}.overhead`),
    ...validateScheduling(spec, path),
  ];
}

export function validatePodTemplate(spec: JsonObject | undefined, path: string): FieldError[] {
  const template = childOf(spec, "template");
  const podSpec = childOf(template, "spec");
  if (template === undefined || podSpec === undefined) return [required(`${path}.spec.containers`)];
  return [
    ...validateMaps(childOf(template, "metadata"), `${path}.metadata`),
    ...validatePodSpec(podSpec, `${path}.spec`),
    ...refuseEphemeralContainers(template, "ephemeral containers not allowed in pod template", path),
  ];
}

function validateContainers(spec: JsonObject, scope: { path: string; volumes: Set<string> }): FieldError[] {
  const { path, volumes } = scope;
  const containers = itemsOf(spec, "containers");
  const init = itemsOf(spec, "initContainers");
  if (containers.length === 0) return [required(`${path}.containers`)];
  return [
    ...validateContainerNames([
      { path: `${path}.containers`, containers },
      { path: `${path}.initContainers`, containers: init },
    ]),
    ...eachOf(containers, (one, index) =>
      validateContainer(one, { path: `${path}.containers[${index}]`, volumes, init: false }),
    ),
    ...eachOf(init, (one, index) =>
      validateContainer(one, { path: `${path}.initContainers[${index}]`, volumes, init: true }),
    ),
  ];
}

/** They are added to a pod that runs, by their own subresource. */
export function refuseEphemeralContainers(
  pod: JsonObject | undefined,
  text: string,
  path = "",
): FieldError[] {
  const field = `${path === "" ? "" : `${path}.`}spec.ephemeralContainers`;
  return itemsOf(childOf(pod, "spec"), "ephemeralContainers").length === 0 ? [] : [forbidden(field, text)];
}

/** What may be added by the subresource, as `ValidatePodEphemeralContainersUpdate`: none goes or changes once it is there. */
export function validateEphemeralContainers(next: JsonObject, current: JsonObject): FieldError[] {
  const path = "spec.ephemeralContainers";
  const spec = childOf(next, "spec") ?? {};
  const containers = itemsOf(spec, "ephemeralContainers");
  const before = itemsOf(childOf(current, "spec"), "ephemeralContainers");
  const now = new Map(containers.map((one) => [textOf(one, "name"), one]));
  const nameOf = (one: JsonObject): string => textOf(one, "name");
  const gone = before.filter((one) => !now.has(nameOf(one))).map(nameOf);
  const changed = before.filter((one) => !sameMeaning(now.get(nameOf(one)) ?? one, one)).map(nameOf);
  const kept = (names: readonly string[], what: string): FieldError[] =>
    names.length === 0
      ? []
      : [forbidden(path, `existing ephemeral containers ${listOf(names)} may not be ${what}\n`)];
  if (childOf(childOf(next, "metadata"), "annotations")?.[mirrorAnnotation] !== undefined)
    return [forbidden("", "static pods do not support ephemeral containers")];
  return [
    ...eachOf(containers, (one, index) => validateEphemeral(one, spec, `${path}[${index}]`)),
    ...validateContainerNames([
      ...["containers", "initContainers"].map((field) => ({
        path: `spec.${field}`,
        containers: itemsOf(spec, field),
      })),
      { path, containers },
    ]),
    ...kept(gone, "removed"),
    ...kept(changed, "changed"),
  ];
}

/** Nothing that a pod could rely on, and nothing that would have to be reserved. */
const notEphemeral = [
  "lifecycle",
  "livenessProbe",
  "ports",
  "readinessProbe",
  "resizePolicy",
  "resources",
  "restartPolicy",
  "startupProbe",
];

function validateEphemeral(container: JsonObject, spec: JsonObject, path: string): FieldError[] {
  const volumes = new Set(itemsOf(spec, "volumes").map((volume) => textOf(volume, "name")));
  const others = [...itemsOf(spec, "containers"), ...itemsOf(spec, "initContainers")];
  const target = textOf(container, "targetContainerName");
  const text = "cannot be set for an Ephemeral Container";
  const mounts = eachOf(itemsOf(container, "volumeMounts"), (mount, index) =>
    ["subPath", "subPathExpr"]
      .filter((field) => textOf(mount, field) !== "")
      .map((field) => forbidden(`${path}.volumeMounts[${index}].${field}`, text)),
  );
  return [
    ...validateContainer(container, { path, volumes, init: false }),
    ...(target === "" || others.some((one) => textOf(one, "name") === target)
      ? []
      : [notFound(`${path}.targetContainerName`, target)]),
    ...notEphemeral
      .filter((field) => isSet(container[field]))
      .map((field) => forbidden(`${path}.${field}`, text)),
    ...mounts,
  ];
}

function isSet(value: Json | undefined): boolean {
  if (typeof value !== "object" || value === null) return value !== undefined && value !== null;
  return Object.keys(value).length > 0;
}

function listOf(names: readonly string[]): string {
  return `[${names.map((name) => JSON.stringify(name)).join(" ")}]`;
}

function validateNames(spec: JsonObject, path: string): FieldError[] {
  const rules = [
    { field: "nodeName", rule: dnsSubdomain },
    { field: "serviceAccountName", rule: dnsSubdomain },
    { field: "hostname", rule: dnsLabel },
    { field: "subdomain", rule: dnsLabel },
    { field: "schedulerName", rule: dnsSubdomain },
    { field: "priorityClassName", rule: dnsSubdomain },
    { field: "runtimeClassName", rule: dnsSubdomain },
  ];
  return rules.flatMap(({ field, rule }) => {
    const value = textOf(spec, field);
    return value === "" ? [] : rule(value).map((problem) => invalid(`${path}.${field}`, value, problem));
  });
}

function validateReadinessGates(spec: JsonObject, path: string): FieldError[] {
  return eachOf(itemsOf(spec, "readinessGates"), (gate, index) => {
    const type = textOf(gate, "conditionType");
    return qualifiedName(type).map((problem) => invalid(`${path}[${index}].conditionType`, type, problem));
  });
}

function validateNumbers(spec: JsonObject, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const deadline = numberOf(spec, "activeDeadlineSeconds");
  if (deadline !== undefined && (deadline < 1 || deadline > 2_147_483_647))
    errors.push(
      invalid(`${path}.activeDeadlineSeconds`, deadline, "must be between 1 and 2147483647, inclusive"),
    );
  const grace = numberOf(spec, "terminationGracePeriodSeconds") ?? 0;
  if (grace < 0)
    errors.push(
      invalid(`${path}.terminationGracePeriodSeconds`, grace, "must be greater than or equal to 0"),
    );
  return errors;
}

function validateTolerations(spec: JsonObject, path: string): FieldError[] {
  return eachOf(itemsOf(spec, "tolerations"), (toleration, index) => {
    const place = `${path}[${index}]`;
    const key = textOf(toleration, "key");
    const errors = key === "" ? [] : qualifiedName(key).map((text) => invalid(`${place}.key`, key, text));
    return [...errors, ...validateOperator(toleration, place), ...validateEffect(toleration, place)];
  });
}

const emptyKeyText =
  'operator must be Exists when `key` is empty, which means "match all values and all keys"';

function validateOperator(toleration: JsonObject, place: string): FieldError[] {
  const operator = textOf(toleration, "operator") || "Equal";
  const path = `${place}.operator`;
  const errors: FieldError[] = [];
  if (textOf(toleration, "key") === "" && operator !== "Exists")
    errors.push(invalid(path, operator, emptyKeyText));
  if (operator === "Exists" && textOf(toleration, "value") !== "")
    errors.push(invalid(path, operator, "value must be empty when `operator` is 'Exists'"));
  if (operator !== "Exists" && operator !== "Equal")
    errors.push(notSupported(path, operator, ["Equal", "Exists"]));
  return errors;
}

function validateEffect(toleration: JsonObject, place: string): FieldError[] {
  const effect = textOf(toleration, "effect");
  const path = `${place}.effect`;
  const errors = effect === "" || effects.includes(effect) ? [] : [notSupported(path, effect, effects)];
  if (numberOf(toleration, "tolerationSeconds") !== undefined && effect !== "NoExecute")
    errors.push(invalid(path, effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"));
  return errors;
}

function validateHostPorts(spec: JsonObject, path: string): FieldError[] {
  const seen = new Set<string>();
  const errors: FieldError[] = [];
  for (const [index, container] of itemsOf(spec, "containers").entries())
    for (const [place, port] of itemsOf(container, "ports").entries()) {
      const host = numberOf(port, "hostPort") ?? 0;
      const field = `${path}.containers[${index}].ports[${place}]`;
      if (host === 0) continue;
      if (spec.hostNetwork === true && host !== port.containerPort)
        errors.push(
          invalid(
            `${field}.containerPort`,
            port.containerPort,
            "must match `hostPort` when `hostNetwork` is true",
          ),
        );
      const key = `${textOf(port, "protocol")}/${textOf(port, "hostIP")}/${host}`;
      if (seen.has(key)) errors.push(duplicatePort(`${field}.hostPort`, key));
      seen.add(key);
    }
  return errors;
}

function duplicatePort(field: string, key: string): FieldError {
  return { reason: "FieldValueDuplicate", field, message: `Duplicate value: ${JSON.stringify(key)}` };
}

const updateText =
  "pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations` (only additions to existing tolerations) or `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/** The fields of a pod's spec that may change once it exists, as `ValidatePodUpdate`. */
export function validatePodUpdate(next: JsonObject, current: JsonObject): FieldError[] {
  const spec = childOf(next, "spec") ?? {};
  const was = childOf(current, "spec") ?? {};
  const mirror = validateMirrorUpdate(next, current);
  if (sameMeaning(spec, was)) return mirror;
  const errors = [...mirror, ...validateContainerCount(spec, was)];
  if (errors.length > 0) return errors;
  errors.push(
    ...validateDeadlineUpdate(spec, was),
    ...validateTolerationUpdate(spec, was),
    ...validateGateUpdate(spec, was),
  );
  if (!sameMeaning(withAllowedOf(spec, was), was)) errors.push(forbidden("spec", updateText));
  return errors;
}

/** A pod cannot become a mirror pod, nor cease to be one. */
export function validateMirrorUpdate(next: JsonObject, current: JsonObject): FieldError[] {
  const markOf = (object: JsonObject): Json | undefined =>
    childOf(childOf(object, "metadata"), "annotations")?.[mirrorAnnotation];
  if (markOf(next) === markOf(current)) return [];
  const text = `may not ${markOf(current) === undefined ? "add" : "remove or update"} mirror pod annotation`;
  return [forbidden(`metadata.annotations[${mirrorAnnotation}]`, text)];
}

function validateContainerCount(spec: JsonObject, was: JsonObject): FieldError[] {
  return ["containers", "initContainers"]
    .filter((field) => itemsOf(spec, field).length !== itemsOf(was, field).length)
    .map((field) => forbidden(`spec.${field}`, "pod updates may not add or remove containers"));
}

function validateDeadlineUpdate(spec: JsonObject, was: JsonObject): FieldError[] {
  const before = numberOf(was, "activeDeadlineSeconds");
  const after = numberOf(spec, "activeDeadlineSeconds");
  if (before === undefined || before === after) return [];
  const field = "spec.activeDeadlineSeconds";
  if (after === undefined)
    return [invalid(field, null, "must not update from a positive integer to nil value")];
  return after > before ? [invalid(field, after, "must be less than or equal to previous value")] : [];
}

function validateTolerationUpdate(spec: JsonObject, was: JsonObject): FieldError[] {
  const now = new Set(itemsOf(spec, "tolerations").map(tolerationText));
  const kept = itemsOf(was, "tolerations").every((old) => now.has(tolerationText(old)));
  return kept
    ? []
    : [forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")];
}

function tolerationText(toleration: JsonObject): string {
  return JSON.stringify(["key", "operator", "value", "effect"].map((field) => textOf(toleration, field)));
}

/** The new spec with everything that may change put back, so that what remains different is forbidden. */
function withAllowedOf(spec: JsonObject, was: JsonObject): JsonObject {
  const back: JsonObject = { ...spec };
  for (const field of ["containers", "initContainers"]) {
    const old = itemsOf(was, field);
    if (spec[field] === undefined) continue;
    back[field] = itemsOf(spec, field).map((container, index) => ({
      ...container,
      image: old[index]?.image ?? "",
    }));
  }
  back.tolerations = was.tolerations ?? null;
  back.activeDeadlineSeconds = was.activeDeadlineSeconds ?? null;
  if ((numberOf(was, "terminationGracePeriodSeconds") ?? 0) < 0 && back.terminationGracePeriodSeconds === 1)
    back.terminationGracePeriodSeconds = was.terminationGracePeriodSeconds ?? null;
  // What these may become is judged above.
  back.schedulingGates = was.schedulingGates ?? null;
  if (isGated(was)) {
    back.nodeSelector = was.nodeSelector ?? null;
    back.affinity = withNodesOf(childOf(spec, "affinity"), childOf(was, "affinity"));
  }
  return back;
}

/** The affinity with the required nodes of another one. */
function withNodesOf(affinity: JsonObject | undefined, was: JsonObject | undefined): JsonObject {
  const nodes = childOf(childOf(was, "nodeAffinity"), requiredField) ?? null;
  return { ...affinity, nodeAffinity: { ...childOf(affinity, "nodeAffinity"), [requiredField]: nodes } };
}
