import {
  configKey,
  eachOf,
  envName,
  invalid,
  notSupported,
  required,
} from "#cloud/kube-api/kinds/validation/basics";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, itemsOf, textOf, type JsonObject } from "#shared/json";

const plainFieldPaths = [
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
  const sources = eachOf(itemsOf(container, "envFrom"), (source, index) => {
    const place = `${path}.envFrom[${index}]`;
    const refs = ["configMapRef", "secretRef"].filter((field) => childOf(source, field) !== undefined);
    if (refs.length === 0) return [invalid(place, "", "must specify one of: `configMapRef` or `secretRef`")];
    if (refs.length > 1) return [invalid(place, "", "may not have more than one field specified at a time")];
    const [ref = ""] = refs;
    return textOf(childOf(source, ref), "name") === "" ? [required(`${place}.${ref}.name`)] : [];
  });
  return [...variables, ...sources];
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
  const errors: FieldError[] = [];
  if (textOf(env, "value") !== "")
    errors.push(invalid(path, "", "may not be specified when `value` is not empty"));
  else if (kinds.length > 1)
    errors.push(invalid(path, "", "may not have more than one field specified at a time"));
  for (const ref of ["configMapKeyRef", "secretKeyRef"])
    errors.push(...validateKeyRef(childOf(source, ref), `${path}.${ref}`));
  errors.push(...validateFieldRef(childOf(source, "fieldRef"), `${path}.fieldRef`));
  const resource = childOf(source, "resourceFieldRef");
  if (resource !== undefined && textOf(resource, "resource") === "")
    errors.push(required(`${path}.resourceFieldRef.resource`));
  return errors;
}

function validateKeyRef(ref: JsonObject | undefined, path: string): FieldError[] {
  if (ref === undefined) return [];
  const errors = textOf(ref, "name") === "" ? [required(`${path}.name`)] : [];
  const key = textOf(ref, "key");
  if (key === "") return [...errors, required(`${path}.key`)];
  return [...errors, ...configKey(key).map((text) => invalid(`${path}.key`, key, text))];
}

function validateFieldRef(ref: JsonObject | undefined, path: string): FieldError[] {
  if (ref === undefined) return [];
  const fieldPath = textOf(ref, "fieldPath");
  if (fieldPath === "") return [required(`${path}.fieldPath`)];
  if (/^metadata\.(labels|annotations)\['[^']+'\]$/.test(fieldPath)) return [];
  return plainFieldPaths.includes(fieldPath)
    ? []
    : [notSupported(`${path}.fieldPath`, fieldPath, [...plainFieldPaths].sort())];
}
