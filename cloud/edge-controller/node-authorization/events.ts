import { quote } from "#shared/errors";
import type { KubeObject } from "#shared/kube";
import { recordOf } from "#shared/json";

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

type Plain = Readonly<Record<string, unknown>>;

const kinds: ReadonlySet<string> = new Set(["Node", "Pod", "Device", "DeviceModel"]);

/** Fields that say what happened; an Event of a node has no others, finalizers and owners among them. */
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
  at: { readonly namespace: string; readonly name: string },
  sent: Plain,
): ReadEvent {
  const { namespace, name } = at;
  const involved = recordOf(sent["involvedObject"]);
  const source = recordOf(sent["source"]);
  const host = source["host"] ?? "";
  if (host !== "" && host !== node) return refuse(`it speaks for node ${quote(host)}`);
  const about = subjectOf(involved, namespace);
  if (!about) return refuse(`a node may not write Events about ${quote(involved["kind"] ?? "nothing")}`);
  const inside = involved["namespace"] ?? "";
  if (inside !== namespace && !(about.kind === "Node" && inside === ""))
    return refuse("involvedObject.namespace does not match event.namespace");
  const { annotations, labels } = recordOf(sent["metadata"]);
  const event: KubeObject = {
    apiVersion: "v1",
    kind: "Event",
    metadata: { namespace, name, ...record("annotations", annotations), ...record("labels", labels) },
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

/** Whether another has told the same already: nodes that share a DeviceModel find the same fault in it. */
export function isToldAlready(stored: KubeObject, event: KubeObject): boolean {
  const said = ["reason", "message"].every((field) => stored[field] === event[field]);
  return said && isSameSubject(stored, event);
}

function isSameSubject(stored: KubeObject, event: KubeObject): boolean {
  const [a, b] = [recordOf(stored["involvedObject"]), recordOf(event["involvedObject"])];
  return ["kind", "name"].every((field) => a[field] === b[field]);
}

function subjectOf(involved: Plain, namespace: string): EventSubject | undefined {
  const { kind, name, uid } = involved;
  if (typeof kind !== "string" || !kinds.has(kind) || typeof name !== "string" || name === "")
    return undefined;
  return {
    kind: kind as EventSubject["kind"],
    namespace,
    name,
    uid: typeof uid === "string" ? uid : "",
  };
}

function record(field: string, value: unknown): object {
  return typeof value === "object" && value !== null ? { [field]: value } : {};
}

function refuse(fault: string): ReadEvent {
  return { ok: false, fault };
}
