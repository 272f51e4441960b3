import { childOf, itemsOf, numberOf, textOf, type FieldError, type JsonObject } from "#cloud/kube-api/schema";
import { compareQuantities, parseQuantity } from "#shared/kube";
import { duplicate, eachOf, forbidden, invalid, notFound, notSupported, required } from "./errors.ts";
import { configKey, dnsLabel, envName, isPort, portName, portText, qualifiedName } from "./names.ts";

const pullPolicies = ["Always", "IfNotPresent", "Never"];
const protocols = ["SCTP", "TCP", "UDP"];
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

/** What a container is checked against: its place and the volumes it may mount. */
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

export function oneOf(
  object: JsonObject,
  field: string,
  rule: { at: string; values: readonly string[] },
): FieldError[] {
  const value = textOf(object, field);
  if (value === "") return [required(`${rule.at}.${field}`)];
  return rule.values.includes(value)
    ? []
    : [notSupported(`${rule.at}.${field}`, value, [...rule.values].sort())];
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

function validateEnv(container: JsonObject, at: string): FieldError[] {
  const variables = eachOf(itemsOf(container, "env"), (env, index) => {
    const place = `${at}.env[${index}]`;
    const name = textOf(env, "name");
    const errors =
      name === ""
        ? [required(`${place}.name`)]
        : envName(name).map((text) => invalid(`${place}.name`, name, text));
    return [...errors, ...validateEnvSource(env, place)];
  });
  const sources = eachOf(itemsOf(container, "envFrom"), (source, index) => {
    const place = `${at}.envFrom[${index}]`;
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
  const at = `${place}.valueFrom`;
  const kinds = Object.keys(source);
  if (kinds.length === 0)
    return [
      invalid(
        at,
        "",
        "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
      ),
    ];
  const errors: FieldError[] = [];
  if (textOf(env, "value") !== "")
    errors.push(invalid(at, "", "may not be specified when `value` is not empty"));
  else if (kinds.length > 1)
    errors.push(invalid(at, "", "may not have more than one field specified at a time"));
  for (const ref of ["configMapKeyRef", "secretKeyRef"])
    errors.push(...validateKeyRef(childOf(source, ref), `${at}.${ref}`));
  errors.push(...validateFieldRef(childOf(source, "fieldRef"), `${at}.fieldRef`));
  const resource = childOf(source, "resourceFieldRef");
  if (resource !== undefined && textOf(resource, "resource") === "")
    errors.push(required(`${at}.resourceFieldRef.resource`));
  return errors;
}

function validateKeyRef(ref: JsonObject | undefined, at: string): FieldError[] {
  if (ref === undefined) return [];
  const errors = textOf(ref, "name") === "" ? [required(`${at}.name`)] : [];
  const key = textOf(ref, "key");
  if (key === "") return [...errors, required(`${at}.key`)];
  return [...errors, ...configKey(key).map((text) => invalid(`${at}.key`, key, text))];
}

function validateFieldRef(ref: JsonObject | undefined, at: string): FieldError[] {
  if (ref === undefined) return [];
  const path = textOf(ref, "fieldPath");
  if (path === "") return [required(`${at}.fieldPath`)];
  if (/^metadata\.(labels|annotations)\['[^']+'\]$/.test(path)) return [];
  return plainFieldPaths.includes(path)
    ? []
    : [notSupported(`${at}.fieldPath`, path, [...plainFieldPaths].sort())];
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

export function relativePath(path: string, at: string): FieldError[] {
  if (path.startsWith("/")) return [invalid(at, path, "must be a relative path")];
  return path.split("/").includes("..") ? [invalid(at, path, "must not contain '..'")] : [];
}

const probeFields = ["livenessProbe", "readinessProbe", "startupProbe"];

function validateProbes(container: JsonObject, { at, init }: ContainerScope): FieldError[] {
  const allowed = !init || container.restartPolicy === "Always";
  const errors: FieldError[] = [];
  for (const field of [...probeFields, "lifecycle"])
    if (!allowed && childOf(container, field) !== undefined)
      errors.push(
        forbidden(`${at}.${field}`, "may not be set for init containers without restartPolicy=Always"),
      );
  for (const field of allowed ? probeFields : []) {
    const probe = childOf(container, field);
    if (probe !== undefined)
      errors.push(...validateProbe(probe, `${at}.${field}`, field !== "readinessProbe"));
  }
  const lifecycle = allowed ? childOf(container, "lifecycle") : undefined;
  for (const hook of ["postStart", "preStop"]) {
    const handler = childOf(lifecycle, hook);
    if (handler !== undefined) errors.push(...validateHandler(handler, `${at}.lifecycle.${hook}`));
  }
  return errors;
}

function validateProbe(probe: JsonObject, at: string, once: boolean): FieldError[] {
  const errors = validateHandler(probe, at);
  for (const field of [
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
  ]) {
    const value = numberOf(probe, field) ?? 0;
    if (value < 0) errors.push(invalid(`${at}.${field}`, value, "must be greater than or equal to 0"));
  }
  const successes = numberOf(probe, "successThreshold") ?? 1;
  if (once && successes !== 1) errors.push(invalid(`${at}.successThreshold`, successes, "must be 1"));
  return errors;
}

const handlers = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];

function validateHandler(handler: JsonObject, at: string): FieldError[] {
  const chosen = handlers.filter((field) => childOf(handler, field) !== undefined);
  if (chosen.length === 0) return [required(at, "must specify a handler type")];
  const errors = chosen
    .slice(1)
    .map((field) => forbidden(`${at}.${field}`, "may not specify more than 1 handler type"));
  const [kind = ""] = chosen;
  return [...errors, ...validateAction(kind, childOf(handler, kind) ?? {}, at)];
}

function validateAction(kind: string, action: JsonObject, at: string): FieldError[] {
  switch (kind) {
    case "exec":
      return Array.isArray(action.command) ? [] : [required(`${at}.exec.command`)];
    case "httpGet":
      return [
        ...validateTargetPort(action, `${at}.httpGet.port`),
        ...oneOf(action, "scheme", { at: `${at}.httpGet`, values: ["HTTP", "HTTPS"] }),
      ];
    case "tcpSocket":
      return validateTargetPort(action, `${at}.tcpSocket.port`);
    case "grpc": {
      const port = numberOf(action, "port") ?? 0;
      return isPort(port) ? [] : [invalid(`${at}.grpc.port`, port, portText)];
    }
    default:
      return [];
  }
}

/** A port by number or by name. */
export function validateTargetPort(owner: JsonObject | undefined, at: string): FieldError[] {
  const field = at.slice(at.lastIndexOf(".") + 1);
  const port = owner?.[field];
  if (typeof port === "string") return portName(port).map((text) => invalid(at, port, text));
  const number = typeof port === "number" ? port : 0;
  return isPort(number) ? [] : [invalid(at, number, portText)];
}

export function validateResources(resources: JsonObject | undefined, at: string): FieldError[] {
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
