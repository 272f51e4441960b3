import type { DeviceUpload, NodeRequest, TargetRequest } from "#shared/topics";
import {
  bytesOf,
  contentText,
  decode,
  groups,
  operations,
  parseResource,
  resourceTypes,
  sources,
  type WireMessage,
  type WireRoute,
} from "#shared/wire";
import type { ReplyAddress } from "./answers.ts";
import { readTwinMessage, type TwinMessage } from "./device-messages.ts";
import { readReply, type NodeReply } from "./questions.ts";
import { readRequest } from "./requests.ts";

/** A frame of a node, read. */
export type UpstreamMessage =
  | { readonly kind: "malformed"; readonly reason: string }
  | { readonly kind: "keepalive" }
  /** An acknowledgement, or the answer to a question of the cloud. */
  | {
      readonly kind: "reply";
      readonly parentId: string;
      readonly resource: string;
      readonly reply: NodeReply;
    }
  /** A node may not send this. `route`: of the message, for logs. */
  | {
      readonly kind: "refused";
      readonly reason: string;
      readonly route: WireRoute;
      readonly address: ReplyAddress;
    }
  /** Nobody waits for it. */
  | { readonly kind: "ignored" }
  | { readonly kind: "upload"; readonly upload: DeviceUpload; readonly address: ReplyAddress }
  | ModuleMessage;

/** A message that a module answers in its own time. */
export type ModuleMessage =
  | { readonly kind: "request"; readonly request: NodeRequest; readonly address: ReplyAddress }
  /** A request the cloud does not serve. */
  | { readonly kind: "unserved"; readonly problem: string; readonly address: ReplyAddress }
  | { readonly kind: "twin"; readonly message: TwinMessage; readonly address: ReplyAddress }
  /** A program on the node calls a target of a rule. */
  | { readonly kind: "target"; readonly request: TargetRequest; readonly address: ReplyAddress };

/** Reads a frame of `node`. Frames of peers are never an exception. */
export function readUpstream(node: string, frame: string): UpstreamMessage {
  const decoded = decode(frame);
  return decoded.ok ? sort(node, decoded.message) : { kind: "malformed", reason: decoded.reason };
}

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

function sort(node: string, message: WireMessage): UpstreamMessage {
  const { header, route } = message;
  const { operation, source, group } = route;
  if (operation === operations.keepalive) return { kind: "keepalive" };
  if (operation === operations.response || operation === operations.error) {
    const { parent_msg_id: parentId = "" } = header;
    return { kind: "reply", parentId, resource: route.resource ?? "", reply: readReply(message) };
  }
  if (source === sources.serviceBus && group === groups.user) return sortService(node, message);
  // Its resource is a topic of a device: any text, which names no object.
  if (operation === operations.upload && group === groups.user)
    return { kind: "upload", upload: uploadOf(node, message), address: addressOf(message) };
  if (source !== undefined && cloudSources.has(source))
    return refuse(message, "source is a module of the cloud");
  return sortForModules(node, message);
}

/** A reply has a parent, whatever its operation: KubeEdge sends replies that are errors without one. */
function sortService(node: string, message: WireMessage): UpstreamMessage {
  const { header, route, content } = message;
  const { msg_id: id, parent_msg_id: parentId } = header;
  const { resource: targetUrl = "" } = route;
  if (parentId !== undefined)
    return { kind: "reply", parentId, resource: targetUrl, reply: { isError: false, content } };
  const payload = Buffer.from(contentText(content), "base64");
  return { kind: "target", request: { node, id, targetUrl, payload }, address: addressOf(message) };
}

function sortForModules(node: string, message: WireMessage): UpstreamMessage {
  const { route } = message;
  const resource = trimNode(node, route.resource ?? "");
  const trimmed = { ...message, route: { ...route, resource } };
  // Its resource names a device of this node, whatever that is called.
  if (route.source === sources.twin)
    return { kind: "twin", message: readTwinMessage(node, trimmed), address: addressOf(trimmed) };
  if (isOfAnother(node, resource)) return refuse(message, "it is about another node");
  return route.group === groups.user ? { kind: "ignored" } : requestOf(node, trimmed);
}

function requestOf(node: string, message: WireMessage): ModuleMessage {
  const read = readRequest(node, message);
  if (!read.ok)
    return { kind: "unserved", problem: read.problem, address: addressOf(message, { form: read.form }) };
  return { kind: "request", request: read.request, address: addressOf(message, read.served) };
}

function refuse(message: WireMessage, reason: string): UpstreamMessage {
  return { kind: "refused", reason, route: message.route, address: addressOf(message) };
}

/** Without the content, which may be large and is not needed for the answer. */
function addressOf(
  { header, route }: WireMessage,
  { form = "ok", isVersioned = false }: Partial<ReplyAddress> = {},
): ReplyAddress {
  return { message: { header, route }, form, isVersioned };
}

function isOfAnother(node: string, resource: string): boolean {
  const path = parseResource(resource);
  return path !== undefined && nodeTypes.has(path.type) && path.name !== "" && path.name !== node;
}

function trimNode(node: string, resource: string): string {
  const prefix = `node/${node}/`;
  return resource.startsWith(prefix) ? resource.slice(prefix.length) : resource;
}

function uploadOf(node: string, message: WireMessage): DeviceUpload {
  const { header, route, content } = message;
  const bytes = bytesOf(message);
  return {
    node,
    id: header.msg_id,
    topic: route.resource ?? "",
    sentMs: header.timestamp,
    content: contentText(content),
    ...(bytes && { bytes }),
  };
}
