import { randomUUID } from "node:crypto";
import { parseKubeObject, type KindInfo } from "#cloud/kube-api/schema";
import { invalidStatus, Refusal, refusals } from "#cloud/kube-api/status";
import type { RevisionStore } from "#cloud/kube-api/store";
import { rfc3339, type Clock } from "#shared/clock";
import { asText, isObject, metadataOf, type Json, type JsonObject } from "#shared/json";
import { apiVersionOf, type KubeObject } from "#shared/kube";
import type { DeleteOptions } from "./deletion.ts";
import { resourceOf } from "./kind-registry.ts";

interface Place {
  readonly kind: KindInfo;
  readonly namespace: string;
  readonly name: string;
}

export function keyOf(target: { readonly namespace: string; readonly name: string }): string {
  return `${target.namespace}/${target.name}`;
}

/** Sets name, uid and creation time of a new object in place, as `BeforeCreate` of apiserver/registry/rest. @throws Refusal */
function prepareMetadata(
  target: Place,
  object: JsonObject,
  fresh: { readonly uid: string; readonly now: string; readonly suffix: () => string },
): JsonObject {
  const metadata = metadataOf(object);
  object["metadata"] = metadata;
  const inside = asText(metadata["namespace"]);
  if (inside !== "" && inside !== target.namespace) {
    throw refusals.badRequest(
      "the namespace of the provided object does not match the namespace sent on the request",
    );
  }
  if (asText(metadata["resourceVersion"]) !== "") {
    throw refusals.badRequest("resourceVersion should not be set on objects to be created");
  }
  for (const field of ["resourceVersion", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"]) {
    delete metadata[field];
  }
  if (target.namespace === "") delete metadata["namespace"];
  else metadata["namespace"] = target.namespace;
  nameIt(target, metadata, fresh.suffix);
  metadata["uid"] = fresh.uid;
  metadata["creationTimestamp"] = fresh.now;
  return metadata;
}

/** What `generateName` adds to a prefix: upstream's alphabet has no vowels, so that no words come about. */
function nameSuffix(clock: Pick<Clock, "random">): string {
  const letter = (): string => suffixAlphabet[Math.floor(clock.random() * suffixAlphabet.length)] ?? "";
  return Array.from({ length: suffixLength }, letter).join("");
}

const suffixAlphabet = "bcdfghjklmnpqrstvwxz2456789";
const suffixLength = 5;
/** A name with its suffix is a DNS label. */
const longestPrefix = 63 - suffixLength;

function nameIt(target: Place, metadata: JsonObject, suffix: () => string): void {
  const prefix = asText(metadata["generateName"]);
  if (target.name !== "") metadata["name"] = target.name;
  else if (asText(metadata["name"]) === "" && prefix !== "")
    metadata["name"] = `${prefix.slice(0, longestPrefix)}${suffix()}`;
}

/**
 * Requires the kind of the URL; fills in apiVersion and kind when absent. As upstream, custom resources have to name theirs:
 * no Go type says what they are. @throws Refusal (BadRequest)
 */
export function checkType(
  kind: Pick<KindInfo, "group" | "version" | "kind" | "custom">,
  body: Json,
): asserts body is JsonObject {
  if (!isObject(body)) throw refusals.badRequest("couldn't get version/kind; the body is not an object");
  const expected = apiVersionOf(kind);
  if (kind.custom && (body["kind"] ?? "") === "")
    throw refusals.badRequest(`Object 'Kind' is missing in '${JSON.stringify(body).slice(0, 200)}'`);
  const apiVersion = body["apiVersion"] || expected;
  const given = body["kind"] || kind.kind;
  if (given !== kind.kind) {
    const version = asText(apiVersion).split("/").at(-1);
    const why = `${asText(given)} in version "${version}" cannot be handled as a ${kind.kind}: converting (${version}.${asText(given)}) to (${kind.group === "" ? "core" : kind.group}.${kind.kind}): unknown conversion`;
    throw refusals.badRequest(why);
  }
  if (apiVersion !== expected) {
    const why = `the API version in the data (${asText(apiVersion)}) does not match the expected API version (${expected})`;
    throw refusals.badRequest(why);
  }
  body["apiVersion"] = expected;
  body["kind"] = kind.kind;
}

/** An object that is applied says itself what it is, and nothing of who owns its fields. @throws Refusal (BadRequest) */
export function checkApplied({ kind, name }: Place, body: Json): asserts body is JsonObject {
  const object = isObject(body) ? body : {};
  const [given, expected] = [asText(object["apiVersion"]), apiVersionOf(kind)];
  if (!Array.isArray(body) && given !== expected) {
    const why = `Incorrect version specified in apply patch. Specified patch version: ${given}, expected: ${expected}`;
    throw refusals.badRequest(why);
  }
  const metadata = metadataOf(object);
  if ((metadata["managedFields"] ?? null) !== null)
    throw refusals.badRequest("metadata.managedFields must be nil");
  if (isObject(body) && asText(body["kind"]) === "") {
    const type = `${given.includes("/") ? "" : "/"}${given}, Kind=`;
    const what = `${asText(metadata["namespace"])}/${asText(metadata["name"])}; ${type}`;
    throw refusals.badRequest(
      `failed to create typed patch object (${what}): no corresponding type for ${type}`,
    );
  }
  checkType(kind, body);
  if (asText(metadata["name"]) !== "") return;
  const why = `the name of the object (${name} based on URL) was undeterminable: name must be provided`;
  throw refusals.badRequest(why);
}

/** Requires the name and namespace of the URL; fills them in when absent. @throws Refusal (BadRequest) */
export function checkIdentity(target: Place, body: JsonObject): void {
  const metadata = metadataOf(body);
  const { name = target.name, namespace = target.namespace } = metadata;
  if (name !== target.name) {
    const why = `the name of the object (${asText(name)}) does not match the name on the URL (${target.name})`;
    throw refusals.badRequest(why);
  }
  if (namespace !== target.namespace && namespace !== "") {
    const why = `the namespace of the object (${asText(namespace)}) does not match the namespace on the request (${target.namespace})`;
    throw refusals.badRequest(why);
  }
  body["metadata"] = {
    ...metadata,
    name: target.name,
    ...(target.namespace !== "" && { namespace: target.namespace }),
  };
}

/** Builtin kinds of which an update has to name the version that it replaces (`AllowUnconditionalUpdate` is false). */
const versionedUpdates = new Set([
  "admissionregistration.k8s.io/mutatingwebhookconfigurations",
  "admissionregistration.k8s.io/validatingadmissionpolicies",
  "admissionregistration.k8s.io/validatingadmissionpolicybindings",
  "admissionregistration.k8s.io/validatingwebhookconfigurations",
  "apiextensions.k8s.io/customresourcedefinitions",
  "apiregistration.k8s.io/apiservices",
  "coordination.k8s.io/leases",
  "node.k8s.io/runtimeclasses",
  "policy/poddisruptionbudgets",
  "storage.k8s.io/csidrivers",
  "storage.k8s.io/csinodes",
  "storage.k8s.io/csistoragecapacities",
  "storage.k8s.io/volumeattachments",
]);

/** @throws Refusal (Conflict, Invalid) when another version of the object was meant; an empty one and 0 mean any, where one may be */
export function checkVersion(
  { kind, name }: Place,
  asked: Json | undefined,
  version: Json | undefined,
): void {
  if (asked === version) return;
  if (asked !== undefined && asked !== "" && asked !== "0") throw refusals.modifiedMeanwhile(kind, name);
  const resource = resourceOf(kind);
  if (kind.custom === undefined && !versionedUpdates.has(resource)) return;
  const message = "Invalid value: 0x0: must be specified for an update";
  const cause = { reason: "FieldValueInvalid", message, field: "metadata.resourceVersion" } as const;
  // As upstream the message has the plural where others have the kind.
  throw new Refusal(invalidStatus({ ...kind, kind: kind.plural }, name, [cause]));
}

const serverOwned = [
  "uid",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
  "generation",
];

/** Keeps fields that only the server sets. Changes `next`. */
export function keepIdentity(next: JsonObject, current: JsonObject): void {
  const metadata = metadataOf(next);
  const before = metadataOf(current);
  delete metadata["selfLink"];
  for (const field of serverOwned) {
    const value = before[field];
    if (value === undefined) delete metadata[field];
    else metadata[field] = value;
  }
  if (metadata["managedFields"] === undefined && before["managedFields"] !== undefined) {
    metadata["managedFields"] = before["managedFields"];
  }
  if (metadata["generateName"] === undefined && before["generateName"] !== undefined) {
    metadata["generateName"] = before["generateName"];
  }
}

/** @throws Refusal (Conflict) when uid or resourceVersion differ from those of the options */
export function checkPreconditions(target: Place, object: KubeObject, options: DeleteOptions): void {
  const { uid, resourceVersion } = options.preconditions ?? {};
  const { metadata } = object;
  if (uid !== undefined && uid !== metadata.uid) {
    const why = `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${metadata.uid ?? ""}`;
    throw refusals.conflict(target.kind, target.name, why);
  }
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion) {
    const why = `Precondition failed: ResourceVersion in precondition: ${resourceVersion}, ResourceVersion in object meta: ${metadata.resourceVersion ?? ""}`;
    throw refusals.conflict(target.kind, target.name, why);
  }
}

/** The metadata of a new object, set in it. @throws Refusal (BadRequest) */
export function newMetadata(clock: Clock, target: Place, object: JsonObject): JsonObject {
  const fresh = { uid: randomUUID(), now: rfc3339(clock.nowMs()), suffix: () => nameSuffix(clock) };
  return prepareMetadata(target, object, fresh);
}

/** @throws Refusal (AlreadyExists) */
export function checkAbsent(store: RevisionStore, target: Place, object: JsonObject): void {
  if (store.find(resourceOf(target.kind), keyOf(target)) === undefined) return;
  const generated = metadataOf(object)["generateName"];
  throw typeof generated === "string" && generated !== ""
    ? refusals.generateNameTaken(target.kind, target.name)
    : refusals.alreadyExists(target.kind, target.name);
}

/** @throws Refusal (NotFound, Forbidden) when there is no namespace that takes new objects */
export function checkNamespace(store: RevisionStore, target: Place, name: string): void {
  if (!target.kind.namespaced) return;
  const text = store.get("/namespaces", `/${target.namespace}`);
  const namespaces = { group: "", plural: "namespaces" };
  if (text === undefined) throw refusals.notFound(namespaces, target.namespace);
  const { metadata } = parseKubeObject(text);
  if (metadata.deletionTimestamp !== undefined) {
    throw refusals.namespaceTerminating(target.kind, name, target.namespace);
  }
}
