import {
  dnsLabel,
  duplicate,
  eachOf,
  forbidden,
  invalid,
  isPort,
  notFound,
  notSupported,
  portName,
  portText,
  required,
  requiredOneOf,
} from "#cloud/kube-api/kinds/validation/basics";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, itemsOf, numberOf, textOf, type JsonObject } from "#shared/json";
import { validateEnv } from "./env.ts";
import { validateProbes } from "./probe.ts";
import { validateResources } from "./resources.ts";
import { validateSecurity } from "./security.ts";
import { relativePath } from "./volume.ts";

const pullPolicies = ["Always", "IfNotPresent", "Never"];
const protocols = ["SCTP", "TCP", "UDP"];
const propagations = ["Bidirectional", "HostToContainer", "None"];

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

/** Upstream reports what is wrong in a mount beyond its names at the list, without the number. */
function validateMounts(container: JsonObject, scope: ContainerScope): FieldError[] {
  const paths = new Set<string>();
  const list = `${scope.path}.volumeMounts`;
  return eachOf(itemsOf(container, "volumeMounts"), (mount, index) => {
    const path = `${list}[${index}]`;
    const errors: FieldError[] = [];
    const name = textOf(mount, "name");
    const mountPath = textOf(mount, "mountPath");
    if (name === "") errors.push(required(`${path}.name`));
    if (!scope.volumes.has(name)) errors.push(notFound(`${path}.name`, name));
    if (mountPath === "") errors.push(required(`${path}.mountPath`));
    if (paths.has(mountPath)) errors.push(invalid(`${path}.mountPath`, mountPath, "must be unique"));
    paths.add(mountPath);
    const expression = textOf(mount, "subPathExpr");
    if (expression !== "" && textOf(mount, "subPath") !== "")
      errors.push(
        invalid(`${path}.subPathExpr`, expression, "subPathExpr and subPath are mutually exclusive"),
      );
    return [
      ...errors,
      ...relativePath(textOf(mount, "subPath"), `${list}.subPath`),
      ...relativePath(expression, `${list}.subPathExpr`),
      ...validatePropagation(mount, container, `${list}.mountPropagation`),
    ];
  });
}

function validatePropagation(mount: JsonObject, container: JsonObject, path: string): FieldError[] {
  const propagation = textOf(mount, "mountPropagation");
  if (propagation === "") return [];
  if (!propagations.includes(propagation)) return [notSupported(path, propagation, propagations)];
  const privileged = childOf(container, "securityContext")?.privileged === true;
  const text = "Bidirectional mount propagation is available only to privileged containers";
  return propagation === "Bidirectional" && !privileged ? [forbidden(path, text)] : [];
}
