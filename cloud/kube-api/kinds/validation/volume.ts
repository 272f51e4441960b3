import {
  childOf,
  isObject,
  itemsOf,
  numberOf,
  textOf,
  type FieldError,
  type JsonObject,
} from "#cloud/kube-api/schema";
import { duplicate, eachOf, forbidden, invalid, notSupported, required } from "./errors.ts";
import { dnsLabel } from "./names.ts";

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

export function validateVolumes(volumes: readonly JsonObject[], at: string): FieldError[] {
  const seen = new Set<string>();
  return eachOf(volumes, (volume, index) => {
    const place = `${at}[${index}]`;
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

function validateSource(volume: JsonObject, at: string): FieldError[] {
  const sources = Object.keys(volume).filter((field) => field !== "name" && isObject(volume[field]));
  if (sources.length === 0) return [required(at, "must specify a volume type")];
  const [kind = "", ...more] = sources;
  const errors = more.map((field) => forbidden(`${at}.${field}`, "may not specify more than 1 volume type"));
  const check = checks[kind];
  const source = childOf(volume, kind);
  return check === undefined || source === undefined
    ? errors
    : [...errors, ...check(source, `${at}.${kind}`)];
}

const checks: Record<string, (source: JsonObject, at: string) => FieldError[]> = {
  hostPath: (source, at) => {
    const path = textOf(source, "path");
    const type = textOf(source, "type");
    const errors = path === "" ? [required(`${at}.path`)] : [];
    if (path.split("/").includes("..")) errors.push(invalid(`${at}.path`, path, "must not contain '..'"));
    if (!hostPathTypes.includes(type)) errors.push(notSupported(`${at}.type`, type, hostPathTypes));
    return errors;
  },
  configMap: (source, at) => [
    ...(textOf(source, "name") === "" ? [required(`${at}.name`)] : []),
    ...validateItems(source, at),
  ],
  secret: (source, at) => [
    ...(textOf(source, "secretName") === "" ? [required(`${at}.secretName`)] : []),
    ...validateItems(source, at),
  ],
  persistentVolumeClaim: (source, at) =>
    textOf(source, "claimName") === "" ? [required(`${at}.claimName`)] : [],
  nfs: (source, at) =>
    ["server", "path"]
      .filter((field) => textOf(source, field) === "")
      .map((field) => required(`${at}.${field}`)),
  projected: (source, at) => validateMode(source, at),
  downwardAPI: (source, at) => validateMode(source, at),
};

function validateItems(source: JsonObject, at: string): FieldError[] {
  const items = eachOf(itemsOf(source, "items"), (item, index) => {
    const place = `${at}.items[${index}]`;
    const errors = textOf(item, "key") === "" ? [required(`${place}.key`)] : [];
    const path = textOf(item, "path");
    errors.push(...(path === "" ? [required(`${place}.path`)] : relativePath(path, `${place}.path`)));
    return [...errors, ...validateModeField(item, "mode", place)];
  });
  return [...validateMode(source, at), ...items];
}

export function relativePath(path: string, at: string): FieldError[] {
  if (path.startsWith("/")) return [invalid(at, path, "must be a relative path")];
  return path.split("/").includes("..") ? [invalid(at, path, "must not contain '..'")] : [];
}

function validateMode(source: JsonObject, at: string): FieldError[] {
  return validateModeField(source, "defaultMode", at);
}

function validateModeField(source: JsonObject, field: string, at: string): FieldError[] {
  const mode = numberOf(source, field) ?? 0;
  if (mode >= 0 && mode <= 0o777) return [];
  return [invalid(`${at}.${field}`, mode, "must be a number between 0 and 0777 (octal), both inclusive")];
}
