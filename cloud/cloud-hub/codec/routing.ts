import type { KubeObject } from "#shared/kube";
import { groups, operations, parseResource, resourceTypes, sources, type WireMessage } from "#shared/wire";

/** What an upstream message is to the hub. */
export type Upstream =
  | { readonly kind: "keepalive" }
  | { readonly kind: "ack"; readonly parentId: string }
  | { readonly kind: "error" }
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "upload"; readonly message: WireMessage }
  | { readonly kind: "twin" | "node"; readonly message: WireMessage };

const cloudSources: ReadonlySet<string> = new Set([
  sources.cloudHub,
  sources.deviceController,
  sources.edgeController,
  "cloudStream",
  "synccontroller",
]);
const nodeTypes: ReadonlySet<string> = new Set([
  resourceTypes.node,
  resourceTypes.nodePatch,
  resourceTypes.nodeStatus,
  resourceTypes.lease,
]);

/** Sorts a message of `node`; those for modules come out without the `node/<id>/` prefix. */
export function sortUpstream(node: string, message: WireMessage): Upstream {
  const { operation, source, group } = message.route;
  if (operation === operations.keepalive) return { kind: "keepalive" };
  if (operation === operations.response) return { kind: "ack", parentId: message.header.parent_msg_id ?? "" };
  if (operation === operations.error) return { kind: "error" };
  // Its resource is a topic of a device: any text, which names no object.
  if (operation === operations.upload && group === groups.user) return { kind: "upload", message };
  if (source !== undefined && cloudSources.has(source))
    return { kind: "refused", reason: "source is a module of the cloud" };
  const resource = trimNode(node, message.route.resource ?? "");
  const trimmed = { ...message, route: { ...message.route, resource } };
  // Its resource names a device of this node, whatever that is called.
  if (source === sources.twin) return { kind: "twin", message: trimmed };
  if (speaksOfAnother(node, resource)) return { kind: "refused", reason: "it speaks of another node" };
  return { kind: "node", message: trimmed };
}

function speaksOfAnother(node: string, resource: string): boolean {
  const path = parseResource(resource);
  return path !== undefined && nodeTypes.has(path.type) && path.name !== "" && path.name !== node;
}

function trimNode(node: string, resource: string): string {
  const prefix = `node/${node}/`;
  return resource.startsWith(prefix) ? resource.slice(prefix.length) : resource;
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
 * Whether the edge acknowledges this message. KubeEdge searches the whole resource text for words; we look at the type
 * element, so that an object's name cannot make its delivery unreliable.
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

/** The Kubernetes object a message carries, if it carries one with a uid. */
export function objectOf(message: WireMessage): KubeObject | undefined {
  const content = message.content as Partial<KubeObject> | null;
  if (typeof content !== "object" || content === null) return undefined;
  return typeof content.metadata?.uid === "string" && content.metadata.uid !== ""
    ? (content as KubeObject)
    : undefined;
}
