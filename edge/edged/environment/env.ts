import {
  quantityNumber,
  type ConfigMap,
  type Container,
  type EnvVar,
  type Pod,
  type Secret,
} from "#shared/kube";
import { serviceLinksOf, type ServiceLink } from "#shared/service-links";
import { Expansion } from "./expand.ts";
import { serviceVariables } from "./service-variables.ts";

/** Objects a pod refers to, by `configmap/<name>` and `secret/<name>`; undefined when they are not there. */
export type Objects = ReadonlyMap<string, (ConfigMap & Secret) | undefined>;

/** Facts for the downward API that are not in the pod's object. */
export interface PodFacts {
  readonly nodeName: string;
  readonly hostIp: string;
  readonly podIps: readonly string[];
  readonly allocatable: Readonly<Record<string, string>>;
  /** The Kubernetes API on this node, where there is one. */
  readonly nodeApi?: NodeApiFacts | undefined;
}

/** How pods use the Kubernetes API on their node. */
export interface NodeApiFacts {
  /** For pods in the node's network. */
  readonly host: string;
  /** For those with a network of their own; undefined while they do not reach it. */
  readonly podHost: () => string | undefined;
  readonly port: number;
  /** What signs its certificate. */
  readonly caPem: string;
}

export type EnvResult =
  | { readonly ok: true; readonly env: ReadonlyMap<string, string> }
  | { readonly ok: false; readonly reason: string };

/** Keys of the ConfigMaps and Secrets the environment of a container needs. */
export function envReferences(container: Container): string[] {
  const sources = (container.envFrom ?? []).map(bulkReference);
  const variables = (container.env ?? []).flatMap(({ valueFrom }) => [
    objectKey("configmap", valueFrom?.configMapKeyRef?.name),
    objectKey("secret", valueFrom?.secretKeyRef?.name),
  ]);
  const keys = [...sources.map((one) => one?.key), ...variables];
  return [...new Set(keys.filter((key) => key !== undefined))];
}

/**
 * The environment of a container: `envFrom` first, then `env` in order, later ones win.
 * @throws AppError (CreateContainerConfigError) as `expand`
 */
export function resolveEnv(pod: Pod, container: Container, objects: Objects, facts: PodFacts): EnvResult {
  const services = pod.spec["enableServiceLinks"] === false ? [] : serviceLinksOf(pod);
  const env = new Map(serviceVariables([...apiLinks(pod, facts.nodeApi), ...services]));
  for (const source of container.envFrom ?? []) {
    const refusal = addAll(source, objects, env);
    if (refusal) return refusal;
  }
  const expansion = new Expansion();
  for (const variable of container.env ?? []) {
    const value = resolveVariable(variable, { pod, container, objects, facts, env, expansion });
    if (typeof value === "object") return value;
    if (value !== undefined) env.set(variable.name, value);
  }
  return { ok: true, env };
}

/** The Service `kubernetes`, where in-cluster configuration of client libraries finds the API: that of the node. */
function apiLinks({ spec }: Pod, api: NodeApiFacts | undefined): ServiceLink[] {
  const host = spec.hostNetwork ? api?.host : api?.podHost();
  if (!api || host === undefined) return [];
  return [{ name: "kubernetes", ip: host, ports: [{ port: api.port, name: "https", protocol: "TCP" }] }];
}

type EnvSource = NonNullable<Container["envFrom"]>[number];

function bulkReference({
  configMapRef,
  secretRef,
}: EnvSource): { key: string; optional: boolean } | undefined {
  const key = objectKey("configmap", configMapRef?.name) ?? objectKey("secret", secretRef?.name);
  return key === undefined ? undefined : { key, optional: (configMapRef ?? secretRef)?.optional === true };
}

function objectKey(kind: "configmap" | "secret", name: string | undefined): string | undefined {
  return name ? `${kind}/${name}` : undefined;
}

function addAll(source: EnvSource, objects: Objects, env: Map<string, string>): Refusal | undefined {
  const reference = bulkReference(source);
  if (!reference) return undefined;
  const data = readData(reference.key, objects);
  if (!data && !reference.optional) return refuse(notFoundText(reference.key));
  for (const [key, value] of data ?? []) {
    if (isEnvName(key)) env.set(`${source.prefix ?? ""}${key}`, value.toString());
  }
  return undefined;
}

/** Keys of `envFrom` that cannot be names of variables, for an Event of kubelet's; one text for each ConfigMap or Secret. */
export function skippedNames(container: Container, objects: Objects): string[] {
  return (container.envFrom ?? []).flatMap((source) => {
    const { key = "" } = bulkReference(source) ?? {};
    const names = [...(readData(key, objects)?.keys() ?? [])].filter((name) => !isEnvName(name));
    const [type, name] = key.split("/");
    const shown = `${type === "secret" ? "secret" : "configMap"} ${objects.get(key)?.metadata.namespace}/${name}`;
    return names.length === 0
      ? []
      : [
          `Keys [${names.sort().join(", ")}] from the EnvFrom ${shown} were skipped since they are considered invalid environment variable names.`,
        ];
  });
}

/** As in: configmap "page" not found. */
export function notFoundText(key: string): string {
  const slash = key.indexOf("/");
  return `${key.slice(0, slash)} "${key.slice(slash + 1)}" not found`;
}

interface VariableContext {
  readonly pod: Pod;
  readonly container: Container;
  readonly objects: Objects;
  readonly facts: PodFacts;
  readonly env: ReadonlyMap<string, string>;
  readonly expansion: Expansion;
}

type Refusal = Extract<EnvResult, { ok: false }>;

function resolveVariable(variable: EnvVar, context: VariableContext): string | undefined | Refusal {
  const { valueFrom } = variable;
  if (!valueFrom) return context.expansion.expand(variable.value ?? "", context.env);
  if (valueFrom.configMapKeyRef) return readKey("configmap", valueFrom.configMapKeyRef, context);
  if (valueFrom.secretKeyRef) return readKey("secret", valueFrom.secretKeyRef, context);
  if (valueFrom.fieldRef) {
    const { fieldPath } = valueFrom.fieldRef;
    return readField(context.pod, fieldPath, context.facts) ?? refuse(`unsupported fieldPath: ${fieldPath}`);
  }
  if (valueFrom.resourceFieldRef)
    return readResource(context.pod, context.container, valueFrom.resourceFieldRef, context.facts);
  const [unknown] = Object.keys(valueFrom);
  return unknown === undefined
    ? ""
    : refuse(`${unknown} of variable ${JSON.stringify(variable.name)} is not supported on this node`);
}

function readKey(
  kind: "configmap" | "secret",
  reference: { readonly name?: string; readonly key: string; readonly optional?: boolean },
  { objects, pod }: VariableContext,
): string | undefined | Refusal {
  const objectName = `${kind}/${reference.name ?? ""}`;
  const data = readData(objectName, objects);
  const value = data?.get(reference.key);
  if (value) return value.toString();
  if (reference.optional) return undefined;
  if (!data) return refuse(notFoundText(objectName));
  const Kind = kind === "configmap" ? "ConfigMap" : "Secret";
  return refuse(
    `couldn't find key ${reference.key} in ${Kind} ${pod.metadata.namespace ?? ""}/${reference.name ?? ""}`,
  );
}

/** The values of a ConfigMap or Secret as bytes; undefined without an object. */
export function readData(key: string, objects: Objects): ReadonlyMap<string, Buffer> | undefined {
  const object = objects.get(key);
  if (!object) return undefined;
  const found = new Map<string, Buffer>();
  const encoding = key.startsWith("secret/") ? "base64" : "utf8";
  for (const [name, text] of Object.entries(object.data ?? {})) found.set(name, Buffer.from(text, encoding));
  for (const [name, text] of Object.entries(object.binaryData ?? {}))
    found.set(name, Buffer.from(text, "base64"));
  return found;
}

/** The value of a downward API field path; undefined when it is not served. */
export function readField(pod: Pod, path: string, facts: PodFacts): string | undefined {
  const { metadata, spec } = pod;
  const subscript = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path);
  if (subscript)
    return ownText(metadata[subscript[1] === "labels" ? "labels" : "annotations"], subscript[2] ?? "") ?? "";
  const fields: Readonly<Record<string, () => string>> = {
    "metadata.name": () => metadata.name ?? "",
    "metadata.namespace": () => metadata.namespace ?? "",
    "metadata.uid": () => metadata.uid ?? "",
    "metadata.labels": () => formatMap(metadata.labels),
    "metadata.annotations": () => formatMap(metadata.annotations),
    "spec.nodeName": () => spec.nodeName ?? facts.nodeName,
    "spec.serviceAccountName": () => spec.serviceAccountName ?? "",
    "status.hostIP": () => facts.hostIp,
    "status.hostIPs": () => facts.hostIp,
    "status.podIP": () => facts.podIps[0] ?? "",
    "status.podIPs": () => facts.podIps.join(","),
  };
  return Object.hasOwn(fields, path) ? fields[path]?.() : undefined;
}

/** A container's request or limit in units of the divisor, rounded up; the node's allocatable where no limit is set. */
export function readResource(
  pod: Pod,
  container: Container,
  reference: { readonly containerName?: string; readonly resource: string; readonly divisor?: string },
  facts: PodFacts,
): string | Refusal {
  const all = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
  const target = reference.containerName
    ? all.find((one) => one.name === reference.containerName)
    : container;
  const [kind, name] = splitOnce(reference.resource);
  if (!target || (kind !== "limits" && kind !== "requests"))
    return refuse(`unsupported container resource: ${reference.resource}`);
  const divisor = quantityNumber(reference.divisor) || 1;
  // A billionth off before rounding up: 0.25 / 0.001 must be 250.
  return String(Math.ceil(amountOf(target, kind, name, facts) / divisor - 1e-9));
}

function amountOf(target: Container, kind: "limits" | "requests", name: string, facts: PodFacts): number {
  const { limits, requests } = target.resources ?? {};
  const text =
    kind === "limits"
      ? (ownText(limits, name) ?? ownText(facts.allocatable, name))
      : (ownText(requests, name) ?? ownText(limits, name));
  return quantityNumber(text) ?? 0;
}

/** A key may have the name of something that objects inherit. */
function ownText(map: Readonly<Record<string, string>> | undefined, key: string): string | undefined {
  return map && Object.hasOwn(map, key) ? map[key] : undefined;
}

function splitOnce(text: string): [string, string] {
  const dot = text.indexOf(".");
  return dot === -1 ? [text, ""] : [text.slice(0, dot), text.slice(dot + 1)];
}

function formatMap(map: Readonly<Record<string, string>> | undefined): string {
  const lines = Object.entries(map ?? {}).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return lines.sort().join("\n");
}

function isEnvName(name: string): boolean {
  return name !== "" && !name.includes("=") && !/^\d/.test(name);
}

function refuse(reason: string): Refusal {
  return { ok: false, reason };
}
