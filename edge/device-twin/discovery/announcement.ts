import { readMapping } from "#shared/devices";
import { isRecord } from "#shared/json";
import { validateDeviceModel, type ModelProperty } from "#shared/kube";
import type { JsonBody } from "#shared/topics";
import { parseJson } from "#edge/device-twin/twins";
import { expandBody, textIn } from "./announcement-body.ts";
import { availabilityOf, entityConfig, entityLimits, entityType } from "./entity-config.ts";
import { objectName, offeredObjects, propertyName, type DiscoveredProperty } from "./offered-objects.ts";

/** One message of Home Assistant's MQTT discovery. */
export type Announcement =
  /** `problem`: which part of it cannot be used */
  | { readonly kind: "property"; readonly found: DiscoveredProperty; readonly problem: string | undefined }
  /** It cannot be a property: no value is better than a wrong one. */
  | { readonly kind: "unusable"; readonly problem: string }
  /** An empty payload: the entity was removed. */
  | { readonly kind: "withdrawn" };

/** Bytes. Announcements have one to two thousand; what is kept of one lives as long as the node runs. */
const longestAnnouncement = 10_000;

/** Reads a message on `<prefix>/<component>/[<node>/]<object>/config`. @returns undefined for other topics */
export function readAnnouncement(
  prefix: string,
  topic: string,
  payload: Uint8Array,
): Announcement | undefined {
  const levels = topic.slice(prefix.length + 1).split("/");
  if (!topic.startsWith(`${prefix}/`) || levels.at(-1) !== "config") return undefined;
  if (payload.length === 0) return { kind: "withdrawn" };
  if (payload.length > longestAnnouncement) return unusable(`longer than ${longestAnnouncement} bytes`);
  const parsed = parseJson(payload);
  if (!parsed) return unusable("not a JSON object");
  const [component = "", ...names] = levels.slice(0, -1);
  try {
    return readEntity(component, names, expandBody(parsed));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return unusable(error.message);
  }
}

function unusable(problem: string): Announcement {
  return { kind: "unusable", problem };
}

/** @throws SyntaxError with what cannot be mapped */
function readEntity(component: string, names: readonly string[], body: JsonBody): Announcement {
  const topic = textIn(body, "state_topic");
  if (topic === undefined) return unusable("no state_topic");
  const device = objectName(identityOf(body) ?? names[0] ?? "");
  const name = propertyName(textIn(body, "unique_id") ?? names.at(-1) ?? "");
  if (device === "" || name === "") return unusable("no name");
  const configData = entityConfig(component, body, topic);
  const property = { name, visitors: { protocolName: "mqtt", configData } };
  const found = { device, property, described: describe(component, name, body) };
  const problem = problemOf({ ...found, state: {} });
  if (problem !== undefined) return unusable(problem);
  const availability = availabilityOf(body);
  const stateProblem = availability.problem ?? problemOf({ ...found, state: availability.state });
  const state = stateProblem === undefined ? availability.state : {};
  return { kind: "property", found: { ...found, state }, problem: stateProblem };
}

/** What the node or the API would refuse of it: one such entity must not hold up the whole device. */
function problemOf(found: DiscoveredProperty): string | undefined {
  const { device, model } = offeredObjects([found], "node");
  const [problem] = readMapping(device, model).problems;
  if (problem)
    return `${problem.field.split(".").at(-1)} ${JSON.stringify(problem.value)} ${problem.problem}`;
  return validateDeviceModel(model)[0]?.message;
}

function describe(component: string, name: string, body: JsonBody): ModelProperty {
  return {
    name,
    description: textIn(body, "name") ?? name,
    type: entityType(component, body),
    accessMode: textIn(body, "command_topic") === undefined ? "ReadOnly" : "ReadWrite",
    ...entityLimits(component, body),
  };
}

function identityOf(body: JsonBody): string | undefined {
  const device = body["device"];
  if (!isRecord(device)) return undefined;
  const ids = device["identifiers"];
  const first: unknown = Array.isArray(ids) ? ids[0] : ids;
  return typeof first === "string" ? first : textIn(device, "name");
}
