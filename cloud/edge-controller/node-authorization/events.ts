import { quote } from "#shared/errors";
import { recordOf } from "#shared/json";
import type { KubeObject } from "#shared/kube";

/** What an Event of a node is about. */
export interface EventSubject {
  readonly kind: "Node" | "Pod" | "Device" | "DeviceModel";
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export type ReadEvent =
  | { readonly ok: true; readonly event: KubeObject; readonly about: EventSubject }
  | { readonly ok: false; readonly fault: string };

const kinds = ["Node", "Pod", "Device", "DeviceModel"] as const;

/** Fields about what happened; an Event of a node has no others, finalizers and owners least of all. */
const kept = [
  "type",
  "reason",
  "message",
  "count",
  "firstTimestamp",
  "lastTimestamp",
  "eventTime",
  "series",
  "action",
  "related",
  "reportingComponent",
  "reportingInstance",
];

/** Reads an Event as a node sent it under a name, and marks it as the node's. */
export function readNodeEvent(
  node: string,
  { namespace, name }: { readonly namespace: string; readonly name: string },
  sent: Readonly<Record<string, unknown>>,
): ReadEvent {
  const involved = recordOf(sent["involvedObject"]);
  const source = recordOf(sent["source"]);
  const host = source["host"] ?? "";
  if (host !== "" && host !== node) return refuse(`its source is node ${quote(host)}`);
  const about = subjectOf(involved, namespace);
  if (!about) return refuse(`a node may not write Events about ${quote(involved["kind"] ?? "nothing")}`);
  const inside = involved["namespace"] ?? "";
  if (inside !== namespace && !(about.kind === "Node" && inside === ""))
    return refuse("involvedObject.namespace does not match event.namespace");
  const { annotations, labels } = recordOf(sent["metadata"]);
  const event: KubeObject = {
    apiVersion: "v1",
    kind: "Event",
    metadata: { namespace, name, ...mapField("annotations", annotations), ...mapField("labels", labels) },
    involvedObject: involved,
    source: {
      ...(typeof source["component"] === "string" && { component: source["component"] }),
      host: node,
    },
    ...Object.fromEntries(kept.flatMap((field) => (sent[field] === undefined ? [] : [[field, sent[field]]]))),
  };
  return { ok: true, event, about };
}

/** Whether a stored Event is one this node has written about the same thing. */
export function isSameEvent(stored: KubeObject, event: KubeObject): boolean {
  return (
    recordOf(stored["source"])["host"] === recordOf(event["source"])["host"] && isSameSubject(stored, event)
  );
}

/** Whether another source has reported the same: nodes that share a DeviceModel find the same fault in it. */
export function isReportedAlready(stored: KubeObject, event: KubeObject): boolean {
  const isSame = ["reason", "message"].every((field) => stored[field] === event[field]);
  return isSame && isSameSubject(stored, event);
}

function isSameSubject(stored: KubeObject, event: KubeObject): boolean {
  const [a, b] = [recordOf(stored["involvedObject"]), recordOf(event["involvedObject"])];
  return ["kind", "name"].every((field) => a[field] === b[field]);
}

function subjectOf(involved: Readonly<Record<string, unknown>>, namespace: string): EventSubject | undefined {
  const { name, uid } = involved;
  const kind = kinds.find((one) => one === involved["kind"]);
  if (kind === undefined || typeof name !== "string" || name === "") return undefined;
  return { kind, namespace, name, uid: typeof uid === "string" ? uid : "" };
}

function mapField(field: string, value: unknown): object {
  return typeof value === "object" && value !== null ? { [field]: value } : {};
}

function refuse(fault: string): ReadEvent {
  return { ok: false, fault };
}
