import { randomUUID } from "node:crypto";
import type { Clock } from "#shared/clock";
import { contentDigest, type KubeObject } from "#shared/kube";
import type { DeliveredObject } from "#shared/topics";
import {
  encode,
  groups,
  noNamespace,
  operations,
  parseResource,
  resourceTypes,
  sources,
  type Stamp,
  type WireMessage,
} from "#shared/wire";

/** A message on its way to a node. */
export interface DownstreamMessage {
  readonly id: string;
  /** what it is about, for logs */
  readonly resource: string;
  /** What the node acknowledges; undefined: nothing, the message is sent once. */
  readonly tracked: TrackedObject | undefined;
  /** The text of its frame, made each time it is written: texts of all that waits would double the memory. */
  encode(): string;
}

/** What a node acknowledges of a message. */
export interface TrackedObject {
  /** Of the messages of one key only the latest matters. */
  readonly key: string;
  readonly operation: "delete" | "insert" | "response" | "update";
  /** undefined: an object without a uid, which cannot be recorded */
  readonly object: DeliveredObject | undefined;
  /** Kubernetes is deleting the object: its deletion follows. */
  readonly isDeleting: boolean;
  /** `contentDigest` of the object that the message carries. */
  digest(): string | undefined;
}

/** Ids and times of new messages. */
export function stampOf(clock: Pick<Clock, "nowMs">): Stamp {
  return { id: () => randomUUID(), nowMs: () => clock.nowMs() };
}

export function downstreamMessage(message: WireMessage): DownstreamMessage {
  return {
    id: message.header.msg_id,
    resource: message.route.resource ?? "",
    tracked: needsAck(message) ? trackedOf(message) : undefined,
    encode: () => encode(message),
  };
}

const unackedTypes: ReadonlySet<string> = new Set(["podlist", resourceTypes.serviceAccountToken]);
const unackedFromController: ReadonlySet<string> = new Set([
  resourceTypes.node,
  resourceTypes.lease,
  resourceTypes.nodePatch,
  resourceTypes.podPatch,
  resourceTypes.podStatus,
]);

/**
 * Whether the edge acknowledges this message, as KubeEdge's noAckRequired decides
 * (cloudhub/dispatcher/message_dispatcher.go). It searches the whole resource for words; we look at the type element, so that
 * an object's name cannot make its delivery unreliable.
 */
export function needsAck(message: WireMessage): boolean {
  const { operation, source, group, resource = "" } = message.route;
  const type = ackedType(resource);
  if (group !== groups.resource || type === undefined) return false;
  const isResponse = operation === operations.response;
  if (isResponse && !objectOf(message)) return false;
  if (source !== sources.edgeController) return true;
  return !unackedFromController.has(type) && !(type === resourceTypes.pod && isResponse);
}

/** The type element of a resource whose messages may be acknowledged. */
function ackedType(resource: string): string | undefined {
  if (isMembership(resource) || resource === "k8s/ca.crt") return undefined;
  if (resource.startsWith("device/") && resource.endsWith("/twin/cloud_updated")) return undefined;
  const type = parseResource(resource)?.type;
  return type === undefined || unackedTypes.has(type) ? undefined : type;
}

/** Not an object in a namespace of that name. */
function isMembership(resource: string): boolean {
  const [first, ...rest] = resource.split("/");
  return first === resourceTypes.membership && rest.length === 1;
}

function trackedOf(message: WireMessage): TrackedObject {
  const { resource = "" } = message.route;
  const operation = trackedOperation(message.route.operation);
  const object = objectOf(message);
  const name = object?.metadata.uid ?? resource;
  return {
    key: operation === "response" ? `${name} ${message.header.msg_id}` : name,
    operation,
    object: object && deliveredOf(message, object),
    isDeleting: object?.metadata.deletionTimestamp !== undefined,
    digest: () => object && contentDigest(object),
  };
}

const trackedOperations = [operations.delete, operations.insert, operations.response] as const;

function trackedOperation(operation: string | undefined): TrackedObject["operation"] {
  return trackedOperations.find((one) => one === operation) ?? operations.update;
}

function deliveredOf({ header, route }: WireMessage, object: KubeObject): DeliveredObject {
  const path = parseResource(route.resource ?? "") ?? { namespace: noNamespace, name: "" };
  const inPath = path.namespace === noNamespace ? "" : path.namespace;
  const { apiVersion = "", kind = "", metadata } = object;
  const { uid = "", name = path.name, namespace = inPath, resourceVersion = "" } = metadata;
  const version = header.resourceversion ?? resourceVersion;
  return { apiVersion, kind, namespace, name, uid, resourceVersion: version };
}

/** The Kubernetes object a message carries, if it carries one with a uid. */
function objectOf({ content }: WireMessage): KubeObject | undefined {
  if (!isObject(content)) return undefined;
  const { uid } = content.metadata;
  return typeof uid === "string" && uid !== "" ? content : undefined;
}

function isObject(content: unknown): content is KubeObject {
  if (typeof content !== "object" || content === null || !("metadata" in content)) return false;
  return typeof content.metadata === "object" && content.metadata !== null;
}
