import type { TextPayload } from "#shared/bytes";
import type { Event } from "#shared/kube";
import {
  encode,
  formatResource,
  groups,
  largestMessageBytes,
  operations,
  resourceTypes,
  sources,
  type NewMessage,
  type Stamp,
} from "#shared/wire";

/** Frames for the outbox: each is stored as it will be sent, with the id under which the cloud knows repetitions. */

const fromEdged = { source: sources.edged, group: groups.meta } as const;
const fromTwin = { source: sources.twin, group: groups.resource } as const;

/** Values of a device's properties. */
export function encodeTwinReport(stamp: Stamp, device: string, content: object): string {
  const resource = `device/${device}/twin/edge_updated`;
  const { source, group } = fromTwin;
  return frame(stamp, { source, group, operation: operations.update, resource, content });
}

/** The state of a device; KubeEdge sends it as text. */
export function encodeDeviceState(stamp: Stamp, device: string, content: string): string {
  const resource = `device/${device}/state/update`;
  return frame(stamp, { ...fromTwin, operation: operations.update, resource, content });
}

/** A Device and its model that the node found. */
export function encodeDiscovery(stamp: Stamp, device: string, content: object): string {
  const resource = `device/${device}/discovered`;
  return frame(stamp, { ...fromTwin, operation: operations.insert, resource, content });
}

/** Counters and state of a DeviceRule. */
export function encodeRuleStatus(
  stamp: Stamp,
  { namespace, name }: { readonly namespace: string; readonly name: string },
  content: object,
): string {
  const resource = `device/${namespace}/${name}/rule-status`;
  return frame(stamp, { ...fromTwin, operation: operations.update, resource, content });
}

/** A message of a device that is passed on as it is. */
export function encodeUpload(stamp: Stamp, topic: string, { text, bytes }: TextPayload): string {
  return frame(stamp, {
    source: sources.bus,
    group: groups.user,
    operation: operations.upload,
    resource: topic,
    content: text,
    bytes,
  });
}

/** A topic, which may be 64 KiB long and twice that or more as JSON, and the rest of a message. */
const besideContentBytes = 512 * 1024;

/** Whether the cloud would never read an upload with this content. As JSON a character takes six bytes at most. */
export function isUploadTooLarge({ text, bytes }: TextPayload): boolean {
  const most = largestMessageBytes - besideContentBytes - Math.ceil((bytes?.length ?? 0) / 3) * 4;
  return text.length * 6 + 2 > most && Buffer.byteLength(JSON.stringify(text)) > most;
}

/** A strategic merge patch, as text, of a pod's status. */
export function encodePodStatus(
  stamp: Stamp,
  pod: { readonly namespace: string; readonly name: string },
  patch: string,
): string {
  const resource = formatResource(resourceTypes.podPatch, pod.namespace, pod.name);
  return frame(stamp, { ...fromEdged, operation: operations.patch, resource, content: patch });
}

/** The containers of a deleted pod are gone: the API may remove it at once, and no other of its name. */
export function encodePodDeletion(
  stamp: Stamp,
  pod: { readonly namespace: string; readonly name: string; readonly uid: string },
): string {
  return frame(stamp, {
    ...fromEdged,
    operation: operations.delete,
    resource: formatResource(resourceTypes.pod, pod.namespace, pod.name),
    content: { gracePeriodSeconds: 0, preconditions: { uid: pod.uid } },
  });
}

export function encodeEvent(stamp: Stamp, event: Event): string {
  return frame(stamp, eventMessage(event));
}

export function eventMessage(event: Event): NewMessage {
  const { namespace, name } = event.metadata;
  return {
    ...fromEdged,
    operation: operations.insert,
    resource: formatResource(resourceTypes.event, namespace, name),
    content: event,
  };
}

/** As `encode(newMessage(…))`, without the optional fields: devices report thousands of times a second. */
function frame(stamp: Stamp, { source, group, operation, resource, content, bytes }: NewMessage): string {
  return encode({
    header: { msg_id: stamp.id(), timestamp: stamp.nowMs() },
    route: { source, group, operation, resource },
    content,
    ...(bytes && { bytes: Buffer.from(bytes).toString("base64") }),
  });
}
