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
import { parseQuantity } from "#shared/kube";
import { fileFields, validateFieldRef, validateResourceRef } from "./env.ts";

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
  return [...errors, ...validateVolumeSource(kind, childOf(volume, kind) ?? {}, `${path}.${kind}`)];
}

/** A source of a volume of a pod, or of a PersistentVolume. */
export function validateVolumeSource(kind: string, source: JsonObject, path: string): FieldError[] {
  return checks[kind]?.(source, path) ?? [];
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
  emptyDir: (source, path) => {
    const size = parseQuantity(textOf(source, "sizeLimit"));
    return size !== undefined && size.nano < 0n
      ? [forbidden(`${path}.sizeLimit`, "SizeLimit field must be a valid resource quantity")]
      : [];
  },
  projected: validateProjected,
  downwardAPI: (source, path) => [
    ...validateMode(source, path),
    ...eachOf(itemsOf(source, "items"), (item) => validateFile(item, path)),
  ],
};

function validateItems(source: JsonObject, path: string): FieldError[] {
  const items = eachOf(itemsOf(source, "items"), (item, index) => {
    const place = `${path}.items[${index}]`;
    const errors = textOf(item, "key") === "" ? [required(`${place}.key`)] : [];
    const itemPath = textOf(item, "path");
    errors.push(...(itemPath === "" ? [required(`${place}.path`)] : ownPath(itemPath, `${place}.path`)));
    return [...errors, ...validateModeField(item, "mode", place)];
  });
  return [...validateMode(source, path), ...items];
}

/** A file of the downward API; upstream reports it at the volume. */
function validateFile(file: JsonObject, path: string): FieldError[] {
  const name = textOf(file, "path");
  const field = childOf(file, "fieldRef");
  const resource = childOf(file, "resourceFieldRef");
  const errors = name === "" ? [required(`${path}.path`)] : ownPath(name, `${path}.path`);
  if (field !== undefined) errors.push(...validateFieldRef(field, `${path}.fieldRef`, fileFields));
  if (field !== undefined && resource !== undefined) {
    const text = "fieldRef and resourceFieldRef can not be specified simultaneously";
    errors.push(invalid(path, "resource", text));
  }
  if (field === undefined && resource === undefined)
    errors.push(required(path, "one of fieldRef and resourceFieldRef is required"));
  if (field === undefined) errors.push(...validateResourceRef(resource, `${path}.resourceFieldRef`, true));
  return [...errors, ...validateModeField(file, "mode", path)];
}

const sourceKinds = ["secret", "configMap", "downwardAPI", "serviceAccountToken"];

function validateProjected(volume: JsonObject, path: string): FieldError[] {
  const taken = new Set<string>();
  const errors = eachOf(itemsOf(volume, "sources"), (source, index) => {
    const place = `${path}.sources[${index}]`;
    const given = sourceKinds.filter((kind) => childOf(source, kind) !== undefined);
    return [
      ...given.flatMap((kind) => [
        ...validateProjection(kind, childOf(source, kind) ?? {}, { place, path }),
        ...itemsOf(childOf(source, kind), "items").flatMap((item) => {
          const file = textOf(item, "path");
          const again = file !== "" && taken.has(file);
          taken.add(file);
          const shown = kind === "downwardAPI" ? file : textOf(childOf(source, kind), "name");
          return again ? [invalid(path, shown, "conflicting duplicate paths")] : [];
        }),
      ]),
      ...(given.length > 1 ? [forbidden(place, "may not specify more than 1 volume type")] : []),
    ];
  });
  return [...validateMode(volume, path), ...errors];
}

/** Seconds that a token may be valid at least and at most. */
const shortestToken = 600;
const longestToken = 2 ** 32;

function validateProjection(
  kind: string,
  source: JsonObject,
  { place, path }: { readonly place: string; readonly path: string },
): FieldError[] {
  if (kind === "downwardAPI")
    return eachOf(itemsOf(source, "items"), (item) => validateFile(item, `${place}.${kind}`));
  if (kind !== "serviceAccountToken") {
    const named = textOf(source, "name") === "" ? [required(`${place}.${kind}.name`)] : [];
    return [...named, ...validateItems({ items: source.items ?? [] }, `${place}.${kind}`)];
  }
  const seconds = numberOf(source, "expirationSeconds") ?? 0;
  const field = `${place}.${kind}.expirationSeconds`;
  return [
    ...(seconds < shortestToken
      ? [invalid(field, seconds, "may not specify a duration less than 10 minutes")]
      : []),
    ...(seconds > longestToken
      ? [invalid(field, seconds, "may not specify a duration larger than 2^32 seconds")]
      : []),
    ...(textOf(source, "path") === "" ? [required(`${path}.path`)] : []),
  ];
}

/** A relative path whose first part is no name that a node uses for itself. */
function ownPath(text: string, path: string): FieldError[] {
  const errors = relativePath(text, path);
  if (text.startsWith("..") && !text.startsWith("../"))
    errors.push(invalid(path, text, "must not start with '..'"));
  return errors;
}

export function relativePath(text: string, path: string): FieldError[] {
  return [
    ...(text.startsWith("/") ? [invalid(path, text, "must be a relative path")] : []),
    ...(text.split("/").includes("..") ? [invalid(path, text, "must not contain '..'")] : []),
  ];
}

function validateMode(source: JsonObject, path: string): FieldError[] {
  return validateModeField(source, "defaultMode", path);
}

function validateModeField(source: JsonObject, field: string, path: string): FieldError[] {
  const mode = numberOf(source, field) ?? 0;
  if (mode >= 0 && mode <= 0o777) return [];
  return [invalid(`${path}.${field}`, mode, "must be a number between 0 and 0777 (octal), both inclusive")];
}
