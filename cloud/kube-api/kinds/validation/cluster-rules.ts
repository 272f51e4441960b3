import {
  dns1035Label,
  dnsSubdomain,
  duplicate,
  eachOf,
  invalid,
  isPort,
  notSupported,
  portText,
  required,
  requiredOneOf,
  validateSelector,
} from "#cloud/kube-api/kinds/validation/basics";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, itemsOf, numberOf, textOf, textsOf, type JsonObject } from "#shared/json";

/** Kinds that say how the API itself treats requests, after pkg/apis/{admissionregistration,apiregistration,flowcontrol}/validation. */

const operations = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];

export function validateWebhooks(object: JsonObject): FieldError[] {
  const names = new Set<string>();
  return eachOf(itemsOf(object, "webhooks"), (webhook, index) => {
    const path = `webhooks[${index}]`;
    const name = textOf(webhook, "name");
    const errors = validateWebhook(webhook, path);
    if (names.has(name)) errors.push(duplicate(`${path}.name`, name));
    names.add(name);
    return errors;
  });
}

function validateWebhook(webhook: JsonObject, path: string): FieldError[] {
  const name = textOf(webhook, "name");
  const versions = textsOf(webhook, "admissionReviewVersions");
  const seconds = numberOf(webhook, "timeoutSeconds") ?? 0;
  const errors = [
    ...validateQualified(name, `${path}.name`),
    ...eachOf(itemsOf(webhook, "rules"), (rule, index) => validateRule(rule, `${path}.rules[${index}]`)),
    ...requiredOneOf(webhook, "failurePolicy", { path, values: ["Fail", "Ignore"] }),
    ...requiredOneOf(webhook, "matchPolicy", { path, values: ["Equivalent", "Exact"] }),
    ...requiredOneOf(webhook, "sideEffects", { path, values: ["None", "NoneOnDryRun"] }),
    ...validateSelector(childOf(webhook, "namespaceSelector"), `${path}.namespaceSelector`),
    ...validateSelector(childOf(webhook, "objectSelector"), `${path}.objectSelector`),
    ...validateClient(childOf(webhook, "clientConfig"), `${path}.clientConfig`),
  ];
  if (versions.length === 0)
    errors.push(required(`${path}.admissionReviewVersions`, "must specify one of v1, v1beta1"));
  else if (!versions.includes("v1") && !versions.includes("v1beta1"))
    errors.push(
      invalid(`${path}.admissionReviewVersions`, versions, "must include at least one of v1, v1beta1"),
    );
  if (seconds < 1 || seconds > 30)
    errors.push(
      invalid(`${path}.timeoutSeconds`, seconds, "the timeout value must be between 1 and 30 seconds"),
    );
  return errors;
}

function validateQualified(name: string, field: string): FieldError[] {
  if (name === "") return [required(field)];
  const errors = dnsSubdomain(name).map((text) => invalid(field, name, text));
  if (name.split(".").length < 3)
    errors.push(invalid(field, name, "should be a domain with at least three segments separated by dots"));
  return errors;
}

export function validateRule(rule: JsonObject, path: string): FieldError[] {
  const errors = ["operations", "apiGroups", "apiVersions", "resources"].flatMap((field) =>
    textsOf(rule, field).length === 0 ? [required(`${path}.${field}`)] : [],
  );
  for (const [index, one] of textsOf(rule, "operations").entries())
    if (!operations.includes(one)) errors.push(notSupported(`${path}.operations[${index}]`, one, operations));
  for (const field of ["operations", "apiGroups", "apiVersions"]) {
    const values = textsOf(rule, field);
    if (values.includes("*") && values.length > 1)
      errors.push(invalid(`${path}.${field}`, values, "if '*' is present, must not specify other values"));
  }
  return [...errors, ...requiredOneOf(rule, "scope", { path, values: ["*", "Cluster", "Namespaced"] })];
}

export function validateClient(config: JsonObject | undefined, path: string): FieldError[] {
  const url = textOf(config, "url");
  const service = childOf(config, "service");
  if ((url === "") === (service === undefined))
    return [required(path, "exactly one of url or service is required")];
  if (service)
    return ["namespace", "name"].flatMap((field) =>
      textOf(service, field) === "" ? [required(`${path}.service.${field}`)] : [],
    );
  const parsed = URL.parse(url);
  const wrong = (text: string): FieldError[] => [invalid(`${path}.url`, url, text)];
  if (!parsed) return wrong("url must be a valid URL: https://host[:port][/path]");
  if (parsed.protocol !== "https:")
    return wrong(`'https' is the only allowed URL scheme; desired format: https://host[/path]`);
  if (parsed.username !== "" || parsed.search !== "" || parsed.hash !== "")
    return wrong("user information, queries and fragments are not permitted in the URL");
  return [];
}

export function validateApiService(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec");
  const [group, version] = [textOf(spec, "group"), textOf(spec, "version")];
  const name = textOf(childOf(object, "metadata"), "name");
  const errors: FieldError[] = [];
  if (name !== `${version}.${group}`)
    errors.push(
      invalid("metadata.name", name, `must be \`spec.version+"."+spec.group\`: "${version}.${group}"`),
    );
  if (group === "" && version !== "v1")
    errors.push(required("spec.group", "only v1 may have an empty group and it better be legacy kube"));
  if (group !== "") errors.push(...dnsSubdomain(group).map((text) => invalid("spec.group", group, text)));
  errors.push(...dns1035Label(version).map((text) => invalid("spec.version", version, text)));
  errors.push(...validatePriorities(spec), ...validateServer(spec));
  return errors;
}

function validatePriorities(spec: JsonObject | undefined): FieldError[] {
  return (
    [
      ["groupPriorityMinimum", 20_000],
      ["versionPriority", 1000],
    ] as const
  ).flatMap(([field, most]) => {
    const value = numberOf(spec, field) ?? 0;
    const path = `spec.${field}`;
    return value < 1 || value > most ? [invalid(path, value, `must be positive and less than ${most}`)] : [];
  });
}

function validateServer(spec: JsonObject | undefined): FieldError[] {
  const service = childOf(spec, "service");
  const [hasBundle, skips] = [textOf(spec, "caBundle") !== "", spec?.insecureSkipTLSVerify === true];
  if (!service) {
    const local = (field: string): FieldError =>
      invalid(`spec.${field}`, "<omitted>", `local APIServices may not have a ${field}`);
    return [...(hasBundle ? [local("caBundle")] : []), ...(skips ? [local("insecureSkipTLSVerify")] : [])];
  }
  const port = numberOf(service, "port") ?? 443;
  return [
    ...["namespace", "name"].flatMap((field) =>
      textOf(service, field) === "" ? [required(`spec.service.${field}`)] : [],
    ),
    ...(isPort(port) ? [] : [invalid("spec.service.port", port, portText)]),
    ...(skips && hasBundle
      ? [invalid("spec.insecureSkipTLSVerify", true, "may not be true if caBundle is present")]
      : []),
  ];
}

export function validateFlowSchema(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec");
  const precedence = numberOf(spec, "matchingPrecedence") ?? 0;
  const errors: FieldError[] = [];
  if (precedence < 1 || precedence > 10_000)
    errors.push(invalid("spec.matchingPrecedence", precedence, "must be between 1 and 10000"));
  if (textOf(childOf(spec, "priorityLevelConfiguration"), "name") === "")
    errors.push(required("spec.priorityLevelConfiguration.name", "must reference a priority level"));
  return errors;
}

export function validatePriorityLevel(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec") ?? {};
  const errors = requiredOneOf(spec, "type", { path: "spec", values: ["Exempt", "Limited"] });
  if (spec.type === "Limited" && !childOf(spec, "limited"))
    errors.push(required("spec.limited", "must not be empty when type is Limited"));
  return errors;
}

const metricSources: Readonly<Record<string, string>> = {
  ContainerResource: "containerResource",
  External: "external",
  Object: "object",
  Pods: "pods",
  Resource: "resource",
};

export function validateAutoscaler(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec");
  const target = childOf(spec, "scaleTargetRef");
  const errors = ["kind", "name"].flatMap((field) =>
    textOf(target, field) === "" ? [required(`spec.scaleTargetRef.${field}`)] : [],
  );
  const least = numberOf(spec, "minReplicas") ?? 1;
  const most = numberOf(spec, "maxReplicas") ?? 0;
  if (least < 1) errors.push(invalid("spec.minReplicas", least, "must be greater than or equal to 1"));
  if (most < 1) errors.push(invalid("spec.maxReplicas", most, "must be greater than 0"));
  else if (most < least)
    errors.push(invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"));
  for (const [index, metric] of itemsOf(spec, "metrics").entries()) {
    const path = `spec.metrics[${index}]`;
    const source = metricSources[textOf(metric, "type")];
    if (source === undefined)
      errors.push(...requiredOneOf(metric, "type", { path, values: Object.keys(metricSources) }));
    else if (!childOf(metric, source))
      errors.push(required(`${path}.${source}`, "must populate information for the given metric source"));
  }
  return errors;
}
