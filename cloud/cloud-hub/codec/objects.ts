import type { KubeObject } from "#shared/kube";
import type { MembershipDelivery, ObjectDelivery } from "#shared/topics";
import { groups, newMessage, operations, resourceTypes, sources, type Stamp } from "#shared/wire";
import { downstreamMessage, type DownstreamMessage } from "./downstream-message.ts";

/** An object for a node: `<namespace>/<kind>/<name>` in group `resource`. */
export function objectMessage(
  stamp: Stamp,
  { operation, object }: Omit<ObjectDelivery, "node">,
): DownstreamMessage {
  const { namespace = "default", name = "", resourceVersion } = object.metadata;
  return downstreamMessage(
    newMessage(stamp, {
      source: isOfDevices(object) ? sources.deviceController : sources.edgeController,
      group: groups.resource,
      operation,
      resource: `${namespace}/${(object.kind ?? "").toLowerCase()}/${name}`,
      content: object,
      resourceVersion,
    }),
  );
}

function isOfDevices({ apiVersion = "" }: KubeObject): boolean {
  return apiVersion.startsWith("devices.kubeedge.io/");
}

/** As KubeEdge's dttype.MembershipUpdate. */
export function membershipMessage(
  stamp: Stamp,
  { change, devices }: Omit<MembershipDelivery, "node">,
): DownstreamMessage {
  return downstreamMessage(
    newMessage(stamp, {
      source: sources.deviceController,
      group: groups.twin,
      operation: operations.update,
      resource: resourceTypes.membership,
      content: {
        event_id: stamp.id(),
        timestamp: stamp.nowMs(),
        added_devices: change === "added" ? devices : null,
        removed_devices: change === "removed" ? devices : null,
      },
    }),
  );
}
