import {
  encode,
  groups,
  newMessage,
  okText,
  operations,
  parseResource,
  resourceTypes,
  responseTo,
  sources,
  type Stamp,
  type WireRoute,
} from "#shared/wire";
import type { CloudMessage } from "./cloud-message.ts";

/** The frame that acknowledges a message, or answers its question. */
export function encodeAnswer(stamp: Stamp, { envelope }: CloudMessage, answer: unknown = okText): string {
  return encode(responseTo(stamp, envelope, answer, acknowledgementRoute(envelope.route)));
}

/** The frame for a message that the node could not take: the cloud sends it again. */
export function encodeFailure(stamp: Stamp, { envelope }: CloudMessage, reason: string): string {
  const { source, group, resource } = envelope.route;
  return encode(
    newMessage(stamp, {
      source: source ?? sources.metaManager,
      group: group ?? groups.resource,
      operation: operations.error,
      resource: resource ?? "",
      content: reason,
      parentId: envelope.header.msg_id,
    }),
  );
}

export function encodeKeepalive(stamp: Stamp): string {
  return encode(
    newMessage(stamp, {
      source: sources.websocket,
      group: groups.resource,
      operation: operations.keepalive,
      resource: "node",
      content: "ping",
    }),
  );
}

/** KubeEdge rewrites the route of inserted device objects before it acknowledges them. */
function acknowledgementRoute(route: WireRoute): { readonly source?: string; readonly group?: string } {
  const type = parseResource(route.resource ?? "")?.type;
  const isDevice = type === resourceTypes.device || type === resourceTypes.deviceModel;
  const inserted = route.source === sources.deviceController && route.operation === operations.insert;
  return isDevice && inserted ? { source: sources.metaManager, group: groups.twin } : {};
}
