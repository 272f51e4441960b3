import { childOf, itemsOf, numberOf, textOf, type FieldError, type JsonObject } from "#cloud/kube-api/schema";
import { compareQuantities, parseQuantity } from "#shared/kube";
import { validateEnv } from "./env.ts";
import { duplicate, eachOf, invalid, notFound, oneOf, required } from "./errors.ts";
import { dnsLabel, isPort, portName, portText, qualifiedName } from "./names.ts";
import { validateProbes } from "./probe.ts";
import { relativePath } from "./volume.ts";

const pullPolicies = ["Always", "IfNotPresent", "Never"];
const protocols = ["SCTP", "TCP", "UDP"];
/** Where a container is in its pod, and which volumes it may mount. */
export interface ContainerScope {
  readonly at: string;
  readonly volumes: ReadonlySet<string>;
  /** Init containers have no lifecycle or probes unless they restart always. */
  readonly init: boolean;
}

export function validateContainer(container: JsonObject, scope: ContainerScope): FieldError[] {
  const { at } = scope;
  return [
    ...validateIdentity(container, at),
    ...validatePorts(container, at),
    ...validateEnv(container, at),
    ...validateMounts(container, scope),
    ...validateProbes(container, scope),
    ...validateResources(childOf(container, "resources"), `${at}.resources`),
    ...oneOf(container, "terminationMessagePolicy", { at, values: ["File", "FallbackToLogsOnError"] }),
    ...oneOf(container, "imagePullPolicy", { at, values: pullPolicies }),
    ...validateSecurity(childOf(container, "securityContext"), `${at}.securityContext`),
  ];
}

/** Names of all containers of a pod together. */
export function validateContainerNames(
  lists: readonly { at: string; containers: JsonObject[] }[],
): FieldError[] {
  const seen = new Set<string>();
  const errors: FieldError[] = [];
  for (const { at, containers } of lists)
    for (const [index, container] of containers.entries()) {
      const name = textOf(container, "name");
      if (seen.has(name)) errors.push(duplicate(`${at}[${index}].name`, name));
      else if (name !== "") seen.add(name);
    }
  return errors;
}

function validateIdentity(container: JsonObject, at: string): FieldError[] {
  const name = textOf(container, "name");
  const image = textOf(container, "image");
  const errors =
    name === "" ? [required(`${at}.name`)] : dnsLabel(name).map((text) => invalid(`${at}.name`, name, text));
  if (image === "") errors.push(required(`${at}.image`));
  else if (image !== image.trim())
    errors.push(invalid(`${at}.image`, image, "must not have leading or trailing whitespace"));
  return errors;
}

function validatePorts(container: JsonObject, at: string): FieldError[] {
  const names = new Set<string>();
  return eachOf(itemsOf(container, "ports"), (port, index) => {
    const place = `${at}.ports[${index}]`;
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
    return [...errors, ...oneOf(port, "protocol", { at: place, values: protocols })];
  });
}

function validateMounts(container: JsonObject, scope: ContainerScope): FieldError[] {
  const paths = new Set<string>();
  return eachOf(itemsOf(container, "volumeMounts"), (mount, index) => {
    const at = `${scope.at}.volumeMounts[${index}]`;
    const errors: FieldError[] = [];
    const name = textOf(mount, "name");
    const path = textOf(mount, "mountPath");
    if (name === "") errors.push(required(`${at}.name`));
    else if (!scope.volumes.has(name)) errors.push(notFound(`${at}.name`, name));
    if (path === "") errors.push(required(`${at}.mountPath`));
    if (paths.has(path)) errors.push(invalid(`${at}.mountPath`, path, "must be unique"));
    paths.add(path);
    return [...errors, ...relativePath(textOf(mount, "subPath"), `${at}.subPath`)];
  });
}

function validateResources(resources: JsonObject | undefined, at: string): FieldError[] {
  const limits = childOf(resources, "limits") ?? {};
  const requests = childOf(resources, "requests") ?? {};
  const errors: FieldError[] = [];
  for (const [list, place] of [
    [limits, `${at}.limits`],
    [requests, `${at}.requests`],
  ] as const)
    for (const name of Object.keys(list)) errors.push(...validateAmount(name, textOf(list, name), place));
  for (const [name, value] of Object.entries(requests)) {
    const limit = parseQuantity(textOf(limits, name));
    const request = parseQuantity(textOf(requests, name));
    if (limit === undefined || request === undefined || compareQuantities(request, limit) <= 0) continue;
    errors.push(
      invalid(
        `${at}.requests`,
        value,
        `must be less than or equal to ${name} limit of ${textOf(limits, name)}`,
      ),
    );
  }
  return errors;
}

const resourceNames = ["cpu", "memory", "ephemeral-storage", "storage"];

function validateAmount(name: string, value: string, at: string): FieldError[] {
  const errors = qualifiedName(name).map((text) => invalid(at, name, text));
  const known = name.includes("/") || name.startsWith("hugepages-") || resourceNames.includes(name);
  if (errors.length === 0 && !known)
    errors.push(invalid(`${at}[${name}]`, name, "must be a standard resource type or fully qualified"));
  const quantity = parseQuantity(value);
  if (quantity !== undefined && quantity.nano < 0n)
    errors.push(invalid(`${at}[${name}]`, value, "must be greater than or equal to 0"));
  return errors;
}

function validateSecurity(context: JsonObject | undefined, at: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const field of ["runAsUser", "runAsGroup"]) {
    const id = numberOf(context, field);
    if (id !== undefined && (id < 0 || id > 2_147_483_647))
      errors.push(invalid(`${at}.${field}`, id, "must be between 0 and 2147483647, inclusive"));
  }
  if (context?.privileged === true && context.allowPrivilegeEscalation === false)
    errors.push(invalid(at, "", "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"));
  return errors;
}
