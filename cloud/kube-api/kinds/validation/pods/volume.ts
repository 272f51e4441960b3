import {
  dnsLabel,
  duplicate,
  eachOf,
  forbidden,
  invalid,
  notSupported,
  required,
} from "#cloud/kube-api/kinds/validation/basics";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, isObject, itemsOf, numberOf, textOf, type JsonObject } from "#shared/json";

const hostPathTypes = [
  "",
  "BlockDevice",
  "CharDevice",
  "Directory",
  "DirectoryOrCreate",
  "File",
  "FileOrCreate",
  "Socket",
];

export function validateVolumes(volumes: readonly JsonObject[], path: string): FieldError[] {
  const seen = new Set<string>();
  return eachOf(volumes, (volume, index) => {
    const place = `${path}[${index}]`;
    const name = textOf(volume, "name");
    const errors =
      name === ""
        ? [required(`${place}.name`)]
        : dnsLabel(name).map((text) => invalid(`${place}.name`, name, text));
    if (seen.has(name)) errors.push(duplicate(`${place}.name`, name));
    seen.add(name);
    return [...errors, ...validateSource(volume, place)];
  });
}

function validateSource(volume: JsonObject, path: string): FieldError[] {
  const sources = Object.keys(volume).filter((field) => field !== "name" && isObject(volume[field]));
  if (sources.length === 0) return [required(path, "must specify a volume type")];
  const [kind = "", ...more] = sources;
  const errors = more.map((field) =>
    forbidden(`${path}.${field}`, "may not specify more than 1 volume type"),
  );
  const check = checks[kind];
  const source = childOf(volume, kind);
  return check === undefined || source === undefined
    ? errors
    : [...errors, ...check(source, `${path}.${kind}`)];
}

const checks: Record<string, (source: JsonObject, path: string) => FieldError[]> = {
  hostPath: (source, path) => {
    const hostPath = textOf(source, "path");
    const type = textOf(source, "type");
    const errors = hostPath === "" ? [required(`${path}.path`)] : [];
    if (hostPath.split("/").includes(".."))
      errors.push(invalid(`${path}.path`, hostPath, "must not contain '..'"));
    if (!hostPathTypes.includes(type)) errors.push(notSupported(`${path}.type`, type, hostPathTypes));
    return errors;
  },
  configMap: (source, path) => [
    ...(textOf(source, "name") === "" ? [required(`${path}.name`)] : []),
    ...validateItems(source, path),
  ],
  secret: (source, path) => [
    ...(textOf(source, "secretName") === "" ? [required(`${path}.secretName`)] : []),
    ...validateItems(source, path),
  ],
  persistentVolumeClaim: (source, path) =>
    textOf(source, "claimName") === "" ? [required(`${path}.claimName`)] : [],
  nfs: (source, path) =>
    ["server", "path"]
      .filter((field) => textOf(source, field) === "")
      .map((field) => required(`${path}.${field}`)),
  projected: (source, path) => validateMode(source, path),
  downwardAPI: (source, path) => validateMode(source, path),
};

function validateItems(source: JsonObject, path: string): FieldError[] {
  const items = eachOf(itemsOf(source, "items"), (item, index) => {
    const place = `${path}.items[${index}]`;
    const errors = textOf(item, "key") === "" ? [required(`${place}.key`)] : [];
    const itemPath = textOf(item, "path");
    errors.push(...(itemPath === "" ? [required(`${place}.path`)] : relativePath(itemPath, `${place}.path`)));
    return [...errors, ...validateModeField(item, "mode", place)];
  });
  return [...validateMode(source, path), ...items];
}

export function relativePath(text: string, path: string): FieldError[] {
  if (text.startsWith("/")) return [invalid(path, text, "must be a relative path")];
  return text.split("/").includes("..") ? [invalid(path, text, "must not contain '..'")] : [];
}

function validateMode(source: JsonObject, path: string): FieldError[] {
  return validateModeField(source, "defaultMode", path);
}

function validateModeField(source: JsonObject, field: string, path: string): FieldError[] {
  const mode = numberOf(source, field) ?? 0;
  if (mode >= 0 && mode <= 0o777) return [];
  return [invalid(`${path}.${field}`, mode, "must be a number between 0 and 0777 (octal), both inclusive")];
}
