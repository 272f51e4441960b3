import {
  dnsSubdomain,
  forbidden,
  invalid,
  notSupported,
  optionalOneOf,
  required,
  validateSelector,
} from "#cloud/kube-api/kinds/validation/basics";
import { validateNodeSelector, validateVolumeSource } from "#cloud/kube-api/kinds/validation/pods";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, isObject, textOf, textsOf, type Json, type JsonObject } from "#shared/json";
import { formatQuantity, parseQuantity } from "#shared/kube";

const accessModes = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const volumeModes = ["Block", "Filesystem"];
const reclaimPolicies = ["Delete", "Recycle", "Retain"];

/** After `ValidatePersistentVolumeClaimSpec`. */
export function validateClaim(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec");
  return [
    ...validateModes(spec),
    ...validateSelector(childOf(spec, "selector"), "spec.selector"),
    ...validateSize(childOf(childOf(spec, "resources"), "requests")?.storage, "spec.resources[storage]"),
    ...validateClass(spec),
    ...validateReference(childOf(spec, "dataSource"), "spec.dataSource"),
    ...validateReference(childOf(spec, "dataSourceRef"), "spec.dataSourceRef"),
  ];
}

function validateModes(spec: JsonObject | undefined): FieldError[] {
  const modes = textsOf(spec, "accessModes");
  if (modes.length === 0) return [required("spec.accessModes", "at least 1 access mode is required")];
  const errors = modes
    .filter((mode) => !accessModes.includes(mode))
    .map((mode) => notSupported("spec.accessModes", mode, accessModes));
  const alone = modes.includes("ReadWriteOncePod") && modes.some((mode) => mode !== "ReadWriteOncePod");
  const text = "may not use ReadWriteOncePod with other access modes";
  return alone ? [...errors, forbidden("spec.accessModes", text)] : errors;
}

function validateSize(size: Json | undefined, path: string): FieldError[] {
  if (size === undefined) return [required(path)];
  const quantity = parseQuantity(typeof size === "string" ? size : "");
  return quantity === undefined || quantity.nano > 0n
    ? []
    : [invalid(path, formatQuantity(quantity), "must be greater than zero")];
}

function validateClass(spec: JsonObject | undefined): FieldError[] {
  const name = textOf(spec, "storageClassName");
  return [
    ...(name === "" ? [] : dnsSubdomain(name).map((text) => invalid("spec.storageClassName", name, text))),
    ...optionalOneOf(spec, "volumeMode", { path: "spec", values: volumeModes }),
  ];
}

/** What a new volume is filled from. */
function validateReference(reference: JsonObject | undefined, path: string): FieldError[] {
  if (reference === undefined) return [];
  const kind = textOf(reference, "kind");
  const foreign = textOf(reference, "apiGroup") !== "" || kind === "PersistentVolumeClaim";
  return [
    ...["name", "kind"]
      .filter((field) => textOf(reference, field) === "")
      .map((field) => required(`${path}.${field}`)),
    ...(foreign
      ? []
      : [invalid(path, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup")]),
  ];
}

/** Fields of a volume that say something other than what it is. */
const notSources = new Set(["capacity", "claimRef", "nodeAffinity"]);

/** After `ValidatePersistentVolumeSpec`. */
export function validatePersistentVolume(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec") ?? {};
  return [
    ...validateModes(spec),
    ...validateCapacity(spec),
    ...validateReclaim(spec),
    ...validateAffinity(childOf(spec, "nodeAffinity")),
    ...validateSources(spec),
    ...validateClass(spec),
  ];
}

function validateCapacity(spec: JsonObject): FieldError[] {
  const capacity = childOf(spec, "capacity");
  const names = Object.keys(capacity ?? {});
  if (names.length === 0) return [required("spec.capacity")];
  if (names.length > 1 || names[0] !== "storage")
    return [notSupported("spec.capacity", JSON.stringify(capacity), ["storage"])];
  return validateSize(capacity?.storage, "spec.capacity[storage]");
}

function validateReclaim(spec: JsonObject): FieldError[] {
  const policy = textOf(spec, "persistentVolumeReclaimPolicy");
  const path = "spec.persistentVolumeReclaimPolicy";
  const root = textOf(childOf(spec, "hostPath"), "path").replace(/\/+$/, "");
  if (!reclaimPolicies.includes(policy)) return [notSupported(path, policy, reclaimPolicies)];
  return policy === "Recycle" && childOf(spec, "hostPath") !== undefined && root === ""
    ? [forbidden(path, "may not be 'recycle' for a hostPath mount of '/'")]
    : [];
}

function validateAffinity(affinity: JsonObject | undefined): FieldError[] {
  const terms = childOf(affinity, "required");
  if (affinity === undefined) return [];
  return terms === undefined
    ? [required("spec.nodeAffinity.required", "must specify required node constraints")]
    : validateNodeSelector(terms, "spec.nodeAffinity.required");
}

export function isVolumeSource(spec: JsonObject, field: string): boolean {
  return isObject(spec[field]) && !notSources.has(field);
}

function validateSources(spec: JsonObject): FieldError[] {
  const sources = Object.keys(spec).filter((field) => isVolumeSource(spec, field));
  const [first, ...more] = sources;
  if (first === undefined) return [required("spec", "must specify a volume type")];
  const source = childOf(spec, first) ?? {};
  const apart = spec.nodeAffinity === undefined;
  return [
    ...validateVolumeSource(first, source, `spec.${first}`),
    ...(first === "local" && textOf(source, "path") === "" ? [required("spec.local.path")] : []),
    ...(first === "local" && apart
      ? [required("spec.nodeAffinity", "Local volume requires node affinity")]
      : []),
    ...(first === "csi" ? validateCsi(source) : []),
    ...more.map((field) => forbidden(`spec.${field}`, "may not specify more than 1 volume type")),
  ];
}

function validateCsi(source: JsonObject): FieldError[] {
  return ["driver", "volumeHandle"]
    .filter((field) => textOf(source, field) === "")
    .map((field) => required(`spec.csi.${field}`));
}
