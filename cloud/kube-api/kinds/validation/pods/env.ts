import {
  configKey,
  dnsSubdomain,
  eachOf,
  envName,
  invalid,
  notSupported,
  qualifiedName,
  required,
} from "#cloud/kube-api/kinds/validation/basics";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, itemsOf, textOf, type JsonObject } from "#shared/json";

const envFields = [
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
  "spec.nodeName",
  "spec.serviceAccountName",
  "status.hostIP",
  "status.hostIPs",
  "status.podIP",
  "status.podIPs",
];
export const fileFields = [
  "metadata.annotations",
  "metadata.labels",
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
];
const knownFields = new Set([...envFields, ...fileFields]);
const shownResources = [
  "limits.cpu",
  "limits.ephemeral-storage",
  "limits.memory",
  "requests.cpu",
  "requests.ephemeral-storage",
  "requests.memory",
];

/** Variables of a container and the objects they come from. */
export function validateEnv(container: JsonObject, path: string): FieldError[] {
  const variables = eachOf(itemsOf(container, "env"), (env, index) => {
    const place = `${path}.env[${index}]`;
    const name = textOf(env, "name");
    const errors =
      name === ""
        ? [required(`${place}.name`)]
        : envName(name).map((text) => invalid(`${place}.name`, name, text));
    return [...errors, ...validateEnvSource(env, place)];
  });
  return [...variables, ...validateSources(container, `${path}.envFrom`)];
}

function validateSources(container: JsonObject, path: string): FieldError[] {
  return eachOf(itemsOf(container, "envFrom"), (source, index) => {
    const place = `${path}[${index}]`;
    const prefix = textOf(source, "prefix");
    const errors =
      prefix === "" ? [] : envName(prefix).map((text) => invalid(`${place}.prefix`, prefix, text));
    const refs = ["configMapRef", "secretRef"].filter((field) => childOf(source, field) !== undefined);
    for (const ref of refs) errors.push(...validateRef(childOf(source, ref), `${place}.${ref}`));
    if (refs.length === 0)
      errors.push(invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"));
    if (refs.length > 1)
      errors.push(invalid(path, "", "may not have more than one field specified at a time"));
    return errors;
  });
}

function validateRef(ref: JsonObject | undefined, path: string): FieldError[] {
  const name = textOf(ref, "name");
  if (name === "") return [required(`${path}.name`)];
  return dnsSubdomain(name).map((problem) => invalid(`${path}.name`, name, problem));
}

function validateEnvSource(env: JsonObject, place: string): FieldError[] {
  const source = childOf(env, "valueFrom");
  if (source === undefined) return [];
  const path = `${place}.valueFrom`;
  const kinds = Object.keys(source);
  if (kinds.length === 0)
    return [
      invalid(
        path,
        "",
        "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
      ),
    ];
  const errors = [
    ...validateFieldRef(childOf(source, "fieldRef"), `${path}.fieldRef`, envFields),
    ...validateResourceRef(childOf(source, "resourceFieldRef"), `${path}.resourceFieldRef`, false),
    ...["configMapKeyRef", "secretKeyRef"].flatMap((ref) =>
      validateKeyRef(childOf(source, ref), `${path}.${ref}`),
    ),
  ];
  if (textOf(env, "value") !== "")
    errors.push(invalid(path, "", "may not be specified when `value` is not empty"));
  else if (kinds.length > 1)
    errors.push(invalid(path, "", "may not have more than one field specified at a time"));
  return errors;
}

function validateKeyRef(ref: JsonObject | undefined, path: string): FieldError[] {
  if (ref === undefined) return [];
  const errors = textOf(ref, "name") === "" ? [required(`${path}.name`)] : [];
  const key = textOf(ref, "key");
  if (key === "") return [...errors, required(`${path}.key`)];
  return [...errors, ...configKey(key).map((text) => invalid(`${path}.key`, key, text))];
}

/** A field of the pod that a variable or a file shows. */
export function validateFieldRef(
  ref: JsonObject | undefined,
  path: string,
  shown: readonly string[],
): FieldError[] {
  if (ref === undefined) return [];
  const fieldPath = textOf(ref, "fieldPath");
  if (fieldPath === "") return [required(`${path}.fieldPath`)];
  const [, owner = "", key = ""] = /^([^[]+)\['([^']+)'\]$/.exec(fieldPath) ?? [];
  if (owner === "metadata.annotations")
    return qualifiedName(key.toLowerCase()).map((text) => invalid(path, key.toLowerCase(), text));
  if (owner === "metadata.labels") return qualifiedName(key).map((text) => invalid(path, key, text));
  if (shown.includes(fieldPath)) return [];
  return knownFields.has(fieldPath)
    ? [notSupported(`${path}.fieldPath`, fieldPath, shown)]
    : [
        invalid(
          `${path}.fieldPath`,
          fieldPath,
          `error converting fieldPath: field label not supported: ${fieldPath}`,
        ),
      ];
}

/** An amount of a container that a variable or a file shows; a file says of which container. */
export function validateResourceRef(
  ref: JsonObject | undefined,
  path: string,
  isFile: boolean,
): FieldError[] {
  if (ref === undefined) return [];
  const resource = textOf(ref, "resource");
  if (isFile && textOf(ref, "containerName") === "") return [required(`${path}.containerName`)];
  if (resource === "") return [required(`${path}.resource`)];
  return shownResources.includes(resource) || /^(limits|requests)\.hugepages-/.test(resource)
    ? []
    : [notSupported(`${path}.resource`, resource, shownResources)];
}
