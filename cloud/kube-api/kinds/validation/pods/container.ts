import {
  dnsLabel,
  duplicate,
  eachOf,
  invalid,
  isPort,
  notFound,
  portName,
  portText,
  qualifiedName,
  required,
  requiredOneOf,
} from "#cloud/kube-api/kinds/validation/basics";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, itemsOf, numberOf, textOf, type JsonObject } from "#shared/json";
import { compareQuantities, parseQuantity } from "#shared/kube";
import { validateEnv } from "./env.ts";
import { validateProbes } from "./probe.ts";
import { relativePath } from "./volume.ts";

const pullPolicies = ["Always", "IfNotPresent", "Never"];
const protocols = ["SCTP", "TCP", "UDP"];
/** Where a container is in its pod, and which volumes it may mount. */
export interface ContainerScope {
  readonly path: string;
  readonly volumes: ReadonlySet<string>;
  /** Init containers have no lifecycle or probes unless they restart always. */
  readonly init: boolean;
}

export function validateContainer(container: JsonObject, scope: ContainerScope): FieldError[] {
  const { path } = scope;
  return [
    ...validateIdentity(container, path),
    ...validatePorts(container, path),
    ...validateEnv(container, path),
    ...validateMounts(container, scope),
    ...validateProbes(container, scope),
    ...validateResources(childOf(container, "resources"), `${path}.resources`),
    ...requiredOneOf(container, "terminationMessagePolicy", {
      path,
      values: ["File", "FallbackToLogsOnError"],
    }),
    ...requiredOneOf(container, "imagePullPolicy", { path, values: pullPolicies }),
    ...validateSecurity(childOf(container, "securityContext"), `${path}.securityContext`),
  ];
}

/** Names of all containers of a pod together. */
export function validateContainerNames(
  lists: readonly { path: string; containers: JsonObject[] }[],
): FieldError[] {
  const seen = new Set<string>();
  const errors: FieldError[] = [];
  for (const { path, containers } of lists)
    for (const [index, container] of containers.entries()) {
      const name = textOf(container, "name");
      if (seen.has(name)) errors.push(duplicate(`${path}[${index}].name`, name));
      else if (name !== "") seen.add(name);
    }
  return errors;
}

function validateIdentity(container: JsonObject, path: string): FieldError[] {
  const name = textOf(container, "name");
  const image = textOf(container, "image");
  const errors =
    name === ""
      ? [required(`${path}.name`)]
      : dnsLabel(name).map((text) => invalid(`${path}.name`, name, text));
  if (image === "") errors.push(required(`${path}.image`));
  else if (image !== image.trim())
    errors.push(invalid(`${path}.image`, image, "must not have leading or trailing whitespace"));
  return errors;
}

function validatePorts(container: JsonObject, path: string): FieldError[] {
  const names = new Set<string>();
  return eachOf(itemsOf(container, "ports"), (port, index) => {
    const place = `${path}.ports[${index}]`;
    const errors: FieldError[] = [];
    const name = textOf(port, "name");
    if (name !== "") {
      errors.push(...portName(name).map((text) => invalid(`${place}.name`, name, text)));
      if (names.has(name)) errors.push(duplicate(`${place}.name`, name));
      names.add(name);
    }
    const number = numberOf(port, "containerPort") ?? 0;
    if (number === 0) errors.push(required(`${place}.containerPort`));
    else if (!isPort(number)) errors.push(invalid(`${place}.containerPort`, number, portText));
    const host = numberOf(port, "hostPort") ?? 0;
    if (host !== 0 && !isPort(host)) errors.push(invalid(`${place}.hostPort`, host, portText));
    return [...errors, ...requiredOneOf(port, "protocol", { path: place, values: protocols })];
  });
}

function validateMounts(container: JsonObject, scope: ContainerScope): FieldError[] {
  const paths = new Set<string>();
  return eachOf(itemsOf(container, "volumeMounts"), (mount, index) => {
    const path = `${scope.path}.volumeMounts[${index}]`;
    const errors: FieldError[] = [];
    const name = textOf(mount, "name");
    const mountPath = textOf(mount, "mountPath");
    if (name === "") errors.push(required(`${path}.name`));
    else if (!scope.volumes.has(name)) errors.push(notFound(`${path}.name`, name));
    if (mountPath === "") errors.push(required(`${path}.mountPath`));
    if (paths.has(mountPath)) errors.push(invalid(`${path}.mountPath`, mountPath, "must be unique"));
    paths.add(mountPath);
    return [...errors, ...relativePath(textOf(mount, "subPath"), `${path}.subPath`)];
  });
}

function validateResources(resources: JsonObject | undefined, path: string): FieldError[] {
  const limits = childOf(resources, "limits") ?? {};
  const requests = childOf(resources, "requests") ?? {};
  const errors: FieldError[] = [];
  for (const [list, place] of [
    [limits, `${path}.limits`],
    [requests, `${path}.requests`],
  ] as const)
    for (const name of Object.keys(list)) errors.push(...validateAmount(name, textOf(list, name), place));
  for (const [name, value] of Object.entries(requests)) {
    const limit = parseQuantity(textOf(limits, name));
    const request = parseQuantity(textOf(requests, name));
    if (limit === undefined || request === undefined || compareQuantities(request, limit) <= 0) continue;
    errors.push(
      invalid(
        `${path}.requests`,
        value,
        `must be less than or equal to ${name} limit of ${textOf(limits, name)}`,
      ),
    );
  }
  return errors;
}

const resourceNames = ["cpu", "memory", "ephemeral-storage", "storage"];

function validateAmount(name: string, value: string, path: string): FieldError[] {
  const errors = qualifiedName(name).map((text) => invalid(path, name, text));
  const known = name.includes("/") || name.startsWith("hugepages-") || resourceNames.includes(name);
  if (errors.length === 0 && !known)
    errors.push(invalid(`${path}[${name}]`, name, "must be a standard resource type or fully qualified"));
  const quantity = parseQuantity(value);
  if (quantity !== undefined && quantity.nano < 0n)
    errors.push(invalid(`${path}[${name}]`, value, "must be greater than or equal to 0"));
  return errors;
}

function validateSecurity(context: JsonObject | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const field of ["runAsUser", "runAsGroup"]) {
    const id = numberOf(context, field);
    if (id !== undefined && (id < 0 || id > 2_147_483_647))
      errors.push(invalid(`${path}.${field}`, id, "must be between 0 and 2147483647, inclusive"));
  }
  if (context?.privileged === true && context.allowPrivilegeEscalation === false)
    errors.push(invalid(path, "", "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"));
  return errors;
}
