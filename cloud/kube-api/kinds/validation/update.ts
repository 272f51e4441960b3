import { forbidden, invalid } from "#cloud/kube-api/kinds/validation/basics";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, sameMeaning, textOf, textsOf, type JsonObject } from "#shared/json";
import { compareQuantities, parseQuantity, type Quantity } from "#shared/kube";
import { isVolumeSource } from "./volumes.ts";
import { validatePodUpdate } from "#cloud/kube-api/kinds/validation/pods";

type Rule = (next: JsonObject, current: JsonObject) => FieldError[];

const immutableText = "field is immutable";

function fixed(...path: string[]): Rule {
  return (next, current) => {
    const now = valueAt(next, path);
    const was = valueAt(current, path);
    return sameMeaning(now, was) ? [] : [invalid(path.join("."), now, immutableText)];
  };
}

/** The same with the text of StorageClasses. */
function settled(field: string): Rule {
  return (next, current) =>
    sameMeaning(next[field], current[field]) ? [] : [forbidden(field, `updates to ${field} are forbidden.`)];
}

function valueAt(object: JsonObject, path: readonly string[]): JsonObject[string] | undefined {
  const owner = path
    .slice(0, -1)
    .reduce<JsonObject | undefined>((parent, field) => childOf(parent, field), object);
  return owner?.[path[path.length - 1] ?? ""];
}

function all(...rules: Rule[]): Rule {
  return (next, current) => rules.flatMap((rule) => rule(next, current));
}

/** ConfigMaps and Secrets marked immutable stay as they are, the mark included. */
function sealed(fields: readonly string[]): Rule {
  return (next, current) => {
    if (current.immutable !== true) return [];
    const changed = fields.filter((field) => !sameMeaning(next[field], current[field]));
    const errors = changed.map((field) => forbidden(field, "field is immutable when `immutable` is set"));
    if (next.immutable !== true)
      errors.unshift(forbidden("immutable", "field is immutable when `immutable` is set"));
    return errors;
  };
}

const serviceRule: Rule = (next, current) => {
  const now = childOf(next, "spec");
  const was = childOf(current, "spec");
  if (now?.type === "ExternalName" || was?.type === "ExternalName") return [];
  const ip = textOf(was, "clusterIP");
  const wanted = textOf(now, "clusterIP");
  if (ip === "" || ip === wanted) return [];
  const text = wanted === "" ? "primary clusterIP can not be unset" : "may not change once set";
  return [invalid("spec.clusterIPs[0]", wanted === "" ? null : wanted, text)];
};

const statefulSetText =
  "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
const statefulSetFree = [
  "replicas",
  "ordinals",
  "template",
  "updateStrategy",
  "persistentVolumeClaimRetentionPolicy",
  "minReadySeconds",
  "revisionHistoryLimit",
];

const statefulSetRule: Rule = (next, current) =>
  sameMeaning(
    without(childOf(next, "spec"), statefulSetFree),
    without(childOf(current, "spec"), statefulSetFree),
  )
    ? []
    : [forbidden("spec", statefulSetText)];

const claimText =
  "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
const claimFree = ["volumeName", "storageClassName"];
const boundClaimFree = [...claimFree, "resources", "volumeAttributesClassName"];

/** A bound claim may grow, and a claim is bound once; the rest of what it asks for stays. */
const claimRule: Rule = (next, current) => {
  const isBound = textOf(childOf(current, "status"), "phase") === "Bound";
  const free = isBound ? boundClaimFree : claimFree;
  const now = childOf(next, "spec");
  const was = childOf(current, "spec");
  const rebound = textOf(was, "volumeName") !== "" && now?.volumeName !== was?.volumeName;
  const moved = textOf(was, "storageClassName") !== "" && now?.storageClassName !== was?.storageClassName;
  const same = sameMeaning(without(now, free), without(was, free));
  const order = compareQuantities(sizeOf(now), sizeOf(was));
  const path = "spec.resources.requests.storage";
  return [
    ...(same && !rebound && !moved ? [] : [forbidden("spec", claimText)]),
    ...(order < 0 ? [forbidden(path, "field can not be less than previous value")] : []),
  ];
};

function sizeOf(spec: JsonObject | undefined): Quantity {
  const text = textOf(childOf(childOf(spec, "resources"), "requests"), "storage");
  return parseQuantity(text) ?? { nano: 0n, format: "decimal" };
}

/** After `ValidatePersistentVolumeUpdate`: what a volume is stays; where it can be reached may be said once. */
const volumeRule: Rule = (next, current) => {
  const now = childOf(next, "spec") ?? {};
  const was = childOf(current, "spec") ?? {};
  const errors: FieldError[] = [];
  if (!sameMeaning(volumeSourceOf(now, was), volumeSourceOf(was, was)))
    errors.push(
      forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation"),
    );
  for (const field of ["volumeMode", "nodeAffinity"])
    if (was[field] !== undefined && !sameMeaning(now[field], was[field]))
      errors.push(invalid(field, now[field], immutableText));
  return errors;
};

/** Without the secret for growing, which a volume of a CSI driver may get later. */
function volumeSourceOf(spec: JsonObject, current: JsonObject): JsonObject {
  const sources = Object.entries(spec).filter(([field]) => isVolumeSource(spec, field));
  const isFree = childOf(childOf(current, "csi"), "controllerExpandSecretRef") === undefined;
  return Object.fromEntries(
    sources.map(([field, source]) => [
      field,
      field === "csi" && isFree ? without(childOf(spec, field), ["controllerExpandSecretRef"]) : source,
    ]),
  );
}

/** The addresses of a node's pods and its name at a provider are said once. */
const nodeRule: Rule = (next, current) => {
  const now = childOf(next, "spec");
  const was = childOf(current, "spec");
  const errors: FieldError[] = [];
  const ranges = podRangesOf(was);
  if (ranges.length > 0 && !sameMeaning(podRangesOf(now), ranges))
    errors.push(forbidden("spec.podCIDRs", onceText("podCIDR")));
  const provider = textOf(was, "providerID");
  if (provider !== "" && textOf(now, "providerID") !== provider)
    errors.push(forbidden("spec.providerID", onceText("providerID")));
  return errors;
};

/** podCIDR, the older of the two fields, wins when they differ. */
function podRangesOf(spec: JsonObject | undefined): string[] {
  const first = textOf(spec, "podCIDR");
  const ranges = textsOf(spec, "podCIDRs");
  return first === "" || ranges[0] === first ? ranges : [first];
}

function onceText(field: string): string {
  return `node updates may not change ${field} except from "" to valid`;
}

/** An object stored before the default of the field was written has none. */
const preemptionRule: Rule = (next, current) =>
  current.preemptionPolicy === undefined ? [] : fixed("preemptionPolicy")(next, current);

function without(spec: JsonObject | undefined, fields: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(spec ?? {}).filter(([field]) => !fields.includes(field)));
}

/** Rules of updates by kind, beside the validation of the new object. */
export const updateRules: Readonly<Record<string, Rule>> = {
  "core.v1.Pod": validatePodUpdate,
  "core.v1.ConfigMap": sealed(["data", "binaryData"]),
  "core.v1.Secret": all(fixed("type"), sealed(["data"])),
  "core.v1.Service": serviceRule,
  "core.v1.Node": nodeRule,
  "core.v1.PersistentVolume": volumeRule,
  "core.v1.PersistentVolumeClaim": claimRule,
  "apps.v1.Deployment": fixed("spec", "selector"),
  "apps.v1.ReplicaSet": fixed("spec", "selector"),
  "apps.v1.DaemonSet": fixed("spec", "selector"),
  "apps.v1.StatefulSet": statefulSetRule,
  "apps.v1.ControllerRevision": fixed("data"),
  "discovery.v1.EndpointSlice": fixed("addressType"),
  "certificates.v1.CertificateSigningRequest": fixed("spec"),
  "networking.v1.IngressClass": fixed("spec", "controller"),
  "node.v1.RuntimeClass": fixed("handler"),
  "storage.v1.CSIDriver": fixed("spec", "attachRequired"),
  "storage.v1.CSIStorageCapacity": all(fixed("nodeTopology"), fixed("storageClassName")),
  "storage.v1.StorageClass": all(
    settled("parameters"),
    settled("provisioner"),
    settled("reclaimPolicy"),
    fixed("volumeBindingMode"),
  ),
  "storage.v1.VolumeAttachment": fixed("spec"),
  "rbac.v1.RoleBinding": roleRefRule,
  "rbac.v1.ClusterRoleBinding": roleRefRule,
  "scheduling.v1.PriorityClass": all(fixed("value"), preemptionRule),
  "apiextensions.v1.CustomResourceDefinition": all(
    fixed("spec", "group"),
    fixed("spec", "scope"),
    fixed("spec", "names", "kind"),
    fixed("spec", "names", "plural"),
  ),
};

function roleRefRule(next: JsonObject, current: JsonObject): FieldError[] {
  return sameMeaning(next.roleRef, current.roleRef)
    ? []
    : [invalid("roleRef", next.roleRef, "cannot change roleRef")];
}
