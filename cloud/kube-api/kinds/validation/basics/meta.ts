import type { FieldError, KindInfo } from "#cloud/kube-api/schema";
import { childOf, itemsOf, textMapOf, textOf, textsOf, type JsonObject } from "#shared/json";
import { eachOf, forbidden, invalid, required, tooLong } from "./errors.ts";
import {
  dns1035Label,
  dnsLabel,
  dnsSubdomain,
  labelValue,
  pathSegment,
  qualifiedName,
  type NameRule,
} from "./names.ts";

/** Bytes of all annotations together, as upstream (TotalAnnotationSizeLimitB). */
const annotationsLimit = 256 * 1024;

/** Groups whose builtin kinds have names that are no domains: the APIService of the core group is called `v1.`. */
const pathGroups = new Set(["apiregistration.k8s.io", "certificates.k8s.io", "rbac.authorization.k8s.io"]);

/** How objects of a kind may be called. */
export function nameRuleOf(kind: KindInfo): NameRule {
  if (kind.custom === undefined && pathGroups.has(kind.group)) return pathSegment;
  if (kind.group === "" && kind.kind === "Namespace") return dnsLabel;
  if (kind.group === "" && kind.kind === "Service") return dns1035Label;
  return dnsSubdomain;
}

export function validateMetadata(kind: KindInfo, object: JsonObject): FieldError[] {
  const metadata = childOf(object, "metadata");
  return [
    ...validateName(kind, metadata),
    ...validateMaps(metadata, "metadata"),
    ...(kind.custom === undefined && !isDefinition(kind) ? validateFinalizers(metadata) : []),
    ...validateOwners(metadata),
  ];
}

/** Their own finalizer (customresourcecleanup.apiextensions.k8s.io) has no slash. */
function isDefinition({ group }: KindInfo): boolean {
  return group === "apiextensions.k8s.io";
}

const standardFinalizers = new Set(["foregroundDeletion", "kubernetes", "orphan"]);

/** Those of builtin kinds belong to somebody: they have a domain. */
function validateFinalizers(metadata: JsonObject | undefined): FieldError[] {
  const finalizers = textsOf(metadata, "finalizers");
  const path = "metadata.finalizers";
  const text = "name is neither a standard finalizer name nor is it fully qualified";
  const both = "finalizer orphan and foregroundDeletion cannot be both set";
  return [
    ...eachOf(finalizers, (one) =>
      one.includes("/") || standardFinalizers.has(one) || qualifiedName(one).length > 0
        ? []
        : [invalid(path, one, text)],
    ),
    ...(finalizers.includes("orphan") && finalizers.includes("foregroundDeletion")
      ? [invalid(path, finalizers, both)]
      : []),
  ];
}

function validateName(kind: KindInfo, metadata: JsonObject | undefined): FieldError[] {
  const rule = nameRuleOf(kind);
  const errors: FieldError[] = [];
  const prefix = textOf(metadata, "generateName");
  if (prefix !== "")
    errors.push(
      ...rule(prefix.replace(/-$/, "a")).map((problem) => invalid("metadata.generateName", prefix, problem)),
    );
  const name = textOf(metadata, "name");
  if (name === "") errors.push(required("metadata.name", "name or generateName is required"));
  else errors.push(...rule(name).map((problem) => invalid("metadata.name", name, problem)));
  const namespace = textOf(metadata, "namespace");
  if (kind.namespaced && namespace === "") errors.push(required("metadata.namespace"));
  else if (!kind.namespaced && namespace !== "")
    errors.push(forbidden("metadata.namespace", "not allowed on this type"));
  else if (namespace !== "")
    errors.push(...dnsLabel(namespace).map((problem) => invalid("metadata.namespace", namespace, problem)));
  return errors;
}

/** Labels, annotations and finalizers of an object or a template. */
export function validateMaps(metadata: JsonObject | undefined, path: string): FieldError[] {
  const errors = validateLabels(textMapOf(metadata, "labels"), `${path}.labels`);
  let size = 0;
  for (const [key, value] of Object.entries(textMapOf(metadata, "annotations"))) {
    errors.push(
      ...qualifiedName(key.toLowerCase()).map((problem) => invalid(`${path}.annotations`, key, problem)),
    );
    size += key.length + value.length;
  }
  if (size > annotationsLimit) errors.push(tooLong(`${path}.annotations`, annotationsLimit));
  for (const finalizer of textsOf(metadata, "finalizers"))
    errors.push(
      ...qualifiedName(finalizer).map((problem) => invalid(`${path}.finalizers`, finalizer, problem)),
    );
  return errors;
}

export function validateLabels(labels: Record<string, string>, path: string): FieldError[] {
  return eachOf(Object.entries(labels), ([key, value]) => [
    ...qualifiedName(key).map((problem) => invalid(path, key, problem)),
    ...labelValue(value).map((problem) => invalid(path, value, problem)),
  ]);
}

function validateOwners(metadata: JsonObject | undefined): FieldError[] {
  const errors: FieldError[] = [];
  let controllers = 0;
  for (const [index, owner] of itemsOf(metadata, "ownerReferences").entries()) {
    const path = `metadata.ownerReferences[${index}]`;
    for (const field of ["apiVersion", "kind", "name", "uid"])
      if (textOf(owner, field) === "")
        errors.push(
          invalid(`${path}.${field}`, "", `${field === "apiVersion" ? "version" : field} must not be empty`),
        );
    if (owner.controller === true) controllers += 1;
  }
  if (controllers > 1)
    errors.push(
      invalid("metadata.ownerReferences", [], "Only one reference can have Controller set to true"),
    );
  return errors;
}

export function validateMetadataUpdate(next: JsonObject, current: JsonObject): FieldError[] {
  const was = childOf(current, "metadata");
  if (textOf(was, "deletionTimestamp") === "") return [];
  const before = new Set(textsOf(was, "finalizers"));
  const added = textsOf(childOf(next, "metadata"), "finalizers").filter((one) => !before.has(one));
  if (added.length === 0) return [];
  const list = added
    .slice(0, 20)
    .map((one) => JSON.stringify(one))
    .join(", ");
  const text = `no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`;
  return [forbidden("metadata.finalizers", text)];
}
