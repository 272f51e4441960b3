import {
  duplicate,
  eachOf,
  forbidden,
  invalid,
  notSupported,
  optionalOneOf,
  required,
} from "#cloud/kube-api/kinds/validation/basics";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, itemsOf, numberOf, textOf, textsOf, type JsonObject } from "#shared/json";
import { relativePath } from "./volume.ts";

const highestId = 2_147_483_647;
const seccompTypes = ["Localhost", "RuntimeDefault", "Unconfined"];

/** The security context of a pod, with what it says about the node's own namespaces. */
export function validatePodSecurity(spec: JsonObject, specPath: string): FieldError[] {
  const context = childOf(spec, "securityContext");
  const path = `${specPath}.securityContext`;
  const groups = Array.isArray(context?.supplementalGroups) ? context.supplementalGroups : [];
  const shared = spec.shareProcessNamespace === true && spec.hostPID === true;
  return [
    ...validateIds(context, ["fsGroup", "runAsUser", "runAsGroup"], path),
    ...eachOf(groups, (id, index) =>
      typeof id === "number" ? validateId(id, `${path}.supplementalGroups[${index}]`) : [],
    ),
    ...(shared
      ? [
          invalid(
            `${path}.shareProcessNamespace`,
            true,
            "ShareProcessNamespace and HostPID cannot both be enabled",
          ),
        ]
      : []),
    ...validateSysctls(context, path),
    ...optionalOneOf(context, "fsGroupChangePolicy", { path, values: ["Always", "OnRootMismatch"] }),
    ...validateSeccomp(childOf(context, "seccompProfile"), `${path}.seccompProfile`),
    ...validateOs(spec, specPath),
  ];
}

/** The security context of a container. */
export function validateSecurity(context: JsonObject | undefined, path: string): FieldError[] {
  const confined = context?.allowPrivilegeEscalation === false;
  const admin = textsOf(childOf(context, "capabilities"), "add").includes("CAP_SYS_ADMIN");
  const text = "cannot set `allowPrivilegeEscalation` to false and ";
  return [
    ...validateIds(context, ["runAsUser", "runAsGroup"], path),
    ...optionalOneOf(context, "procMount", { path, values: ["Default", "Unmasked"] }),
    ...validateSeccomp(childOf(context, "seccompProfile"), `${path}.seccompProfile`),
    ...(confined && context.privileged === true
      ? [invalid(path, context, `${text}\`privileged\` to true`)]
      : []),
    ...(confined && admin ? [invalid(path, context, `${text}\`capabilities.Add\` CAP_SYS_ADMIN`)] : []),
  ];
}

function validateIds(context: JsonObject | undefined, fields: readonly string[], path: string): FieldError[] {
  return fields.flatMap((field) => {
    const id = numberOf(context, field);
    return id === undefined ? [] : validateId(id, `${path}.${field}`);
  });
}

function validateId(id: number, path: string): FieldError[] {
  return id >= 0 && id <= highestId
    ? []
    : [invalid(path, id, `must be between 0 and ${highestId}, inclusive`)];
}

function validateSeccomp(profile: JsonObject | undefined, path: string): FieldError[] {
  if (profile === undefined) return [];
  const type = textOf(profile, "type");
  const file = profile.localhostProfile;
  const errors =
    type === ""
      ? [required(`${path}.type`, "type is required when seccompProfile is set")]
      : seccompTypes.includes(type)
        ? []
        : [notSupported(`${path}.type`, type, seccompTypes)];
  if (type !== "Localhost")
    return typeof file === "string"
      ? [
          ...errors,
          invalid(`${path}.localhostProfile`, profile, "can only be set when seccomp type is Localhost"),
        ]
      : errors;
  return typeof file === "string"
    ? [...errors, ...relativePath(file, `${path}.localhostProfile`)]
    : [...errors, required(`${path}.localhostProfile`, "must be set when seccomp type is Localhost")];
}

const longestSysctl = 253;
/** `SysctlContainSlashFmt` of upstream's core validation. */
const sysctlForm = "([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
const sysctlPattern = new RegExp(`^(?:${sysctlForm})$`);

/** The names of a pod's sysctls. Which of them a node allows, the node says. */
function validateSysctls(context: JsonObject | undefined, path: string): FieldError[] {
  const seen = new Set<string>();
  return eachOf(itemsOf(context, "sysctls"), (sysctl, index) => {
    const name = textOf(sysctl, "name");
    const field = `${path}.sysctls[${index}].name`;
    if (name === "") return [required(field)];
    if (name.length > longestSysctl || !sysctlPattern.test(name))
      return [
        invalid(field, name, `must have at most ${longestSysctl} characters and match regex ^${sysctlForm}$`),
      ];
    if (seen.has(name)) return [duplicate(field, name)];
    seen.add(name);
    return [];
  });
}

/** What a pod for Windows may not have: it is set by users and groups of Linux. */
const linuxOnly = [
  "fsGroup",
  "fsGroupChangePolicy",
  "runAsGroup",
  "runAsUser",
  "seLinuxOptions",
  "seccompProfile",
  "supplementalGroups",
  "sysctls",
];

function validateOs(spec: JsonObject, path: string): FieldError[] {
  const os = childOf(spec, "os");
  if (os === undefined) return [];
  const name = textOf(os, "name");
  if (name === "") return [required(`${path}.os.name`, "cannot be empty")];
  const place = `${path}.securityContext`;
  const context = childOf(spec, "securityContext");
  if (name === "linux")
    return context?.windowsOptions === undefined
      ? []
      : [forbidden(`${place}.windowsOptions`, "windows options cannot be set for a linux pod")];
  if (name !== "windows") return [notSupported(`${path}.os`, name, ["linux", "windows"])];
  return linuxOnly
    .filter((field) => context?.[field] !== undefined)
    .map((field) => forbidden(`${place}.${field}`, "cannot be set for a windows pod"));
}
