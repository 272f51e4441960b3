import { isSigningRequest, keepDecisions, setRequester } from "#cloud/kube-api/kinds/certificates";
import { definitionName, type KindInfo, type UpdateVia } from "#cloud/kube-api/schema";
import { childOf, cloneJson, ensureChild, itemsOf, sameMeaning, textOf, type JsonObject } from "#shared/json";

/*
 * Which fields of an object a request may set: the others are reset on create and kept on update. Follows the strategies of
 * pkg/registry (RESTCreateStrategy, RESTUpdateStrategy).
 */

/** Builtin kinds whose generation counts changes of the desired state. */
const generationKinds = new Set([
  "apps.v1.DaemonSet",
  "apps.v1.Deployment",
  "apps.v1.ReplicaSet",
  "apps.v1.StatefulSet",
  "apiextensions.v1.CustomResourceDefinition",
  "batch.v1.CronJob",
  "batch.v1.Job",
  "core.v1.PodTemplate",
  "core.v1.ReplicationController",
  "discovery.v1.EndpointSlice",
  "admissionregistration.v1.MutatingWebhookConfiguration",
  "admissionregistration.v1.ValidatingAdmissionPolicy",
  "admissionregistration.v1.ValidatingAdmissionPolicyBinding",
  "admissionregistration.v1.ValidatingWebhookConfiguration",
  "flowcontrol.v1.FlowSchema",
  "flowcontrol.v1.PriorityLevelConfiguration",
  "networking.v1.Ingress",
  "networking.v1.IngressClass",
  "networking.v1.NetworkPolicy",
  "policy.v1.PodDisruptionBudget",
  "scheduling.v1.PriorityClass",
]);

/** Kinds that keep the status of their creation: nodes register with theirs. */
const keepsFirstStatus = new Set(["core.v1.Node"]);

/** Fields of metadata that only the API sets. */
const ownedMetadata = [
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
  "uid",
  "generation",
  "selfLink",
];

/** Resets the fields of a new object that its creator may not set, in place. `now` is in RFC 3339. */
export function prepareCreate(
  kind: KindInfo,
  object: JsonObject,
  { now, author = {} }: { readonly now: string; readonly author?: JsonObject | undefined },
): void {
  const metadata = ensureChild(object, "metadata");
  for (const field of ownedMetadata) if (field !== "uid") delete metadata[field];
  metadata.creationTimestamp = now;
  if (hasGeneration(kind)) metadata.generation = 1;
  if (hasStatus(kind) && !keepsFirstStatus.has(definitionName(kind))) delete object.status;
  if (definitionName(kind) === "core.v1.Namespace") ensureFinalizer(object);
  if (isSigningRequest(kind)) setRequester(object, author);
}

function ensureFinalizer(namespace: JsonObject): void {
  const spec = ensureChild(namespace, "spec");
  const finalizers = Array.isArray(spec.finalizers) ? spec.finalizers : [];
  if (!finalizers.includes("kubernetes")) finalizers.push("kubernetes");
  spec.finalizers = finalizers;
}

export interface ObjectUpdate {
  readonly next: JsonObject;
  readonly current: JsonObject;
  readonly via: UpdateVia;
}

/** The object to be stored before defaults and generation: `next` where the request may write, `current` elsewhere. */
export function prepareUpdate(kind: KindInfo, { next, current, via }: ObjectUpdate): JsonObject {
  const merged = withOwn(kind, { next, current, via });
  const metadata = ensureChild(merged, "metadata");
  const was = childOf(current, "metadata") ?? {};
  for (const field of [...ownedMetadata, "name", "namespace", "generateName"]) {
    const value = was[field];
    if (value === undefined) delete metadata[field];
    else metadata[field] = value;
  }
  return merged;
}

function withOwn(kind: KindInfo, { next, current, via }: ObjectUpdate): JsonObject {
  if (via === "status") {
    if (isSigningRequest(kind)) keepDecisions(next, current);
    return withStatusOf(kind, next, current);
  }
  if (via === "ephemeralcontainers") return withEphemeralContainersOf(next, current);
  if (via === "resize") return withResourcesOf(next, current);
  if (via !== "approval") return withSpecOf(kind, next, current);
  const status = { ...childOf(current, "status"), conditions: childOf(next, "status")?.conditions ?? [] };
  return withStatusOf(kind, { ...next, status }, current);
}

/** As `dropNonPodResizeUpdates`: of containers that are in both. */
function withResourcesOf(next: JsonObject, current: JsonObject): JsonObject {
  const merged = withVersionOf(next, current);
  for (const list of ["containers", "initContainers"]) {
    const wanted = new Map(itemsOf(childOf(next, "spec"), list).map((one) => [one.name, one]));
    for (const container of itemsOf(childOf(merged, "spec"), list))
      takeResources(container, wanted.get(container.name));
  }
  return merged;
}

function takeResources(container: JsonObject, wanted: JsonObject | undefined): void {
  for (const field of wanted ? ["resources", "resizePolicy"] : []) {
    const value = wanted?.[field];
    if (value === undefined) delete container[field];
    else container[field] = cloneJson(value);
  }
}

function withEphemeralContainersOf(next: JsonObject, current: JsonObject): JsonObject {
  const merged = withVersionOf(next, current);
  ensureChild(merged, "spec").ephemeralContainers = itemsOf(childOf(next, "spec"), "ephemeralContainers");
  return merged;
}

/** A copy of the stored object, of the version and managers that the request names. */
function withVersionOf(next: JsonObject, current: JsonObject): JsonObject {
  const merged = cloneJson(current);
  const metadata = ensureChild(merged, "metadata");
  const wanted = childOf(next, "metadata") ?? {};
  for (const field of ["managedFields", "resourceVersion"])
    if (wanted[field] !== undefined) metadata[field] = wanted[field];
  return merged;
}

function withSpecOf(kind: KindInfo, next: JsonObject, current: JsonObject): JsonObject {
  if (hasStatus(kind)) {
    if (current.status === undefined) delete next.status;
    else next.status = cloneJson(current.status);
  }
  if (definitionName(kind) === "core.v1.Namespace") next.spec = cloneJson(current.spec ?? {});
  if (definitionName(kind) === "core.v1.Service") keepClusterIp(next, current);
  return next;
}

/** A service that omits its addresses and ports keeps those it was given. */
function keepClusterIp(next: JsonObject, current: JsonObject): void {
  const spec = ensureChild(next, "spec");
  const was = childOf(current, "spec") ?? {};
  dropForType(spec, was);
  if (spec.type === "ExternalName" || was.type === "ExternalName") return;
  if (spec.externalTrafficPolicy !== "Local" && spec.healthCheckNodePort === was.healthCheckNodePort)
    delete spec.healthCheckNodePort;
  for (const field of ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"])
    if (spec[field] === undefined && was[field] !== undefined) spec[field] = cloneJson(was[field]);
  if (spec.type !== "ClusterIP") keepNodePorts(spec, was);
}

/** Fields that only some types of services have; kept by a client that changes the type alone. */
const fieldsOfTypes: readonly (readonly [fields: readonly string[], types: readonly string[]])[] = [
  [
    ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"],
    ["ClusterIP", "NodePort", "LoadBalancer"],
  ],
  [["externalTrafficPolicy"], ["NodePort", "LoadBalancer"]],
  [["allocateLoadBalancerNodePorts", "healthCheckNodePort", "loadBalancerClass"], ["LoadBalancer"]],
];

function dropForType(spec: JsonObject, was: JsonObject): void {
  const had = (types: readonly string[]): boolean => types.includes(textOf(was, "type"));
  const has = (types: readonly string[]): boolean => types.includes(textOf(spec, "type"));
  for (const [fields, types] of fieldsOfTypes) {
    if (!had(types) || has(types)) continue;
    for (const field of fields) if (sameMeaning(spec[field], was[field])) delete spec[field];
  }
  const exposed = ["NodePort", "LoadBalancer"];
  const portsOf = (owner: JsonObject): unknown[] => itemsOf(owner, "ports").map((port) => port.nodePort ?? 0);
  if (had(exposed) && !has(exposed) && portsOf(spec).join() === portsOf(was).join())
    for (const port of itemsOf(spec, "ports")) delete port.nodePort;
}

function keepNodePorts(spec: JsonObject, was: JsonObject): void {
  const idOf = (port: JsonObject): string => JSON.stringify([port.port, port.protocol ?? "TCP"]);
  const before = new Map(itemsOf(was, "ports").map((port) => [idOf(port), port.nodePort]));
  for (const port of itemsOf(spec, "ports")) {
    const old = before.get(idOf(port));
    if (!port.nodePort && old) port.nodePort = old;
  }
}

/** Kinds whose status requests may write labels and annotations too. */
const openMetadata = new Set(["core.v1.Pod", "core.v1.Node"]);

function withStatusOf(kind: KindInfo, next: JsonObject, current: JsonObject): JsonObject {
  const merged = cloneJson(current);
  if (next.status === undefined) delete merged.status;
  else merged.status = next.status;
  const metadata = ensureChild(merged, "metadata");
  const wanted = childOf(next, "metadata") ?? {};
  const open = openMetadata.has(definitionName(kind));
  for (const field of kind.custom === undefined ? ["annotations", ...(open ? ["labels"] : [])] : []) {
    if (wanted[field] === undefined) delete metadata[field];
    else metadata[field] = wanted[field];
  }
  if (wanted.managedFields !== undefined) metadata.managedFields = wanted.managedFields;
  if (wanted.resourceVersion !== undefined) metadata.resourceVersion = wanted.resourceVersion;
  return merged;
}

/** Advances the generation when the desired state changed. */
export function advanceGeneration(
  kind: KindInfo,
  next: JsonObject,
  { current, via }: Omit<ObjectUpdate, "next">,
): void {
  if (!hasGeneration(kind) || via === "status" || via === "approval") return;
  const metadata = ensureChild(next, "metadata");
  const was = childOf(current, "metadata");
  const before = typeof was?.generation === "number" ? was.generation : 1;
  metadata.generation = wantsOther(kind, next, current) ? before + 1 : before;
}

function wantsOther(kind: KindInfo, next: JsonObject, current: JsonObject): boolean {
  if (kind.custom !== undefined) return !Bun.deepEquals(withoutMeta(kind, next), withoutMeta(kind, current));
  if (next.spec === undefined && current.spec === undefined)
    return !sameMeaning(withoutMeta(kind, next), withoutMeta(kind, current));
  if (!sameMeaning(next.spec, current.spec)) return true;
  if (definitionName(kind) !== "apps.v1.Deployment") return false;
  return !sameMeaning(childOf(next, "metadata")?.annotations, childOf(current, "metadata")?.annotations);
}

function withoutMeta(kind: KindInfo, object: JsonObject): JsonObject {
  const { metadata: _metadata, apiVersion: _version, ...rest } = object;
  if (hasStatus(kind)) delete rest.status;
  return rest;
}

/** Whether the status of a kind is written through its subresource. */
export function hasStatus(kind: KindInfo): boolean {
  return kind.subresources.some(({ name }) => name === "status");
}

function hasGeneration(kind: KindInfo): boolean {
  return kind.custom !== undefined || generationKinds.has(definitionName(kind));
}
