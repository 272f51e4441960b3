/** What a device or an application asks on a topic below `$hw/events`. */
export type DeviceVerb = "twin/get" | "twin/update" | "twin/cloud_updated" | "state/update";

/**
 * Who a `$hw/events/device/…` topic is about. KubeEdge up to 1.16 writes `<id>`, later ones `<namespace>/<name>`;
 * answers go out in the form of the request.
 */
export interface DeviceTopic {
  /** `<id>` or `<namespace>/<name>` as written */
  readonly device: string;
  readonly verb: DeviceVerb;
}

export const devicePrefix = "$hw/events/device/";
export const nodePrefix = "$hw/events/node/";

const verbs: ReadonlySet<string> = new Set(["twin/get", "twin/update", "twin/cloud_updated", "state/update"]);

/** @returns undefined for any other topic, results and documents of our own included */
export function parseDeviceTopic(topic: string): DeviceTopic | undefined {
  if (!topic.startsWith(devicePrefix)) return undefined;
  const levels = topic.slice(devicePrefix.length).split("/");
  if (levels.length !== 3 && levels.length !== 4) return undefined;
  const verb = levels.slice(-2).join("/");
  const names = levels.slice(0, -2);
  if (!verbs.has(verb) || names.includes("")) return undefined;
  // One of the set, which has all of DeviceVerb.
  return { device: names.join("/"), verb: verb as DeviceVerb };
}

export function deviceTopic(device: string, tail: string): string {
  return `${devicePrefix}${device}/${tail}`;
}

/** The node of `$hw/events/node/<node>/membership/get`. */
export function parseMembershipTopic(topic: string): string | undefined {
  if (!topic.startsWith(nodePrefix)) return undefined;
  const [node, ...rest] = topic.slice(nodePrefix.length).split("/");
  return node && rest.join("/") === "membership/get" ? node : undefined;
}

/** Topics whose messages the cloud gets unchanged; part of `SubTopics` of KubeEdge's eventbus. */
export const uploadFilters = [
  "$hw/events/upload/#",
  "$ke/events/+/upload",
  "$ke/events/+/+/upload",
  "$ke/events/+/+/+/upload",
  "SYS/dis/upload_records",
] as const;
