import { readMapping } from "#shared/devices";
import { isRecord } from "#shared/json";
import { validateDeviceModel } from "#shared/kube";
import type { JsonBody } from "#shared/topics";
import { parseJson } from "#edge/device-twin/twins";
import { expandBody, textIn } from "#edge/device-twin/discovery/body";
import { partsOf, type Part } from "#edge/device-twin/discovery/entities";
import { availabilityOf, expiryOf } from "./availability.ts";
import { objectName, offeredObjects, propertyName, type DiscoveredProperty } from "./offered-objects.ts";

/** One message of Home Assistant's MQTT discovery. */
export type Announcement =
  | {
      readonly kind: "properties";
      /** Name of the Device. */
      readonly device: string;
      readonly found: readonly DiscoveredProperty[];
      /** What cannot be used of it: no value is better than a wrong one. */
      readonly problems: readonly string[];
    }
  /** None of it can be used. */
  | { readonly kind: "unusable"; readonly problem: string }
  /** An empty payload: what was announced there was removed. */
  | { readonly kind: "withdrawn" };

/** Bytes. Announcements of an entity have one to two thousand, those of whole devices up to fifty times as many. */
const longestAnnouncement = 262_144;
/** Entities of one announcement, as many as a Device has properties. */
const mostEntities = 100;
/** Characters of the description of one property, which lives as long as the node runs. */
const longestProperty = 12_000;

/**
 * Reads a message on `<prefix>/<component>/[<node>/]<object>/config`; the component `device` describes a whole device.
 * @returns undefined for other topics
 */
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
  const body = expandBody(parsed);
  const entities =
    component === "device" ? entitiesOf(body, parsed) : [{ component, id: names.at(-1) ?? "", body }];
  if (entities.length === 0) return unusable("no components");
  return readEntities(entities, objectName(identityOf(body) ?? names[0] ?? ""));
}

function unusable(problem: string): Announcement {
  return { kind: "unusable", problem };
}

interface Entity {
  readonly component: string;
  readonly id: string;
  readonly body: JsonBody;
}

/** The entities of a whole device: each has what all have in common, besides its own. */
function entitiesOf(body: JsonBody, given: JsonBody): Entity[] {
  const { components, device: _device, origin: _origin, ...common } = body;
  // Base topics of components may be their own.
  const base = given["~"];
  return Object.entries(isRecord(components) ? components : {}).flatMap(([id, one]) => {
    if (!isRecord(one)) return [];
    const own = expandBody({ ...(base === undefined ? {} : { "~": base }), ...one });
    const component = textIn(own, "platform") ?? "";
    // With nothing but its platform a component is removed.
    const isRemoved = Object.keys(own).every((name) => name === "platform" || name === "~");
    return isRemoved ? [] : [{ component, id, body: { ...common, ...own } }];
  });
}

function readEntities(entities: readonly Entity[], device: string): Announcement {
  if (device === "") return unusable("no name");
  const found: DiscoveredProperty[] = [];
  const problems = entities.length > mostEntities ? [`more than ${mostEntities} components`] : [];
  for (const entity of entities.slice(0, mostEntities)) {
    const read = readEntity(entity, device);
    found.push(...read.found);
    problems.push(
      ...read.problems.map((problem) => (entities.length === 1 ? problem : `${entity.id}: ${problem}`)),
    );
  }
  if (found.length === 0) return unusable(problems.join("; "));
  return { kind: "properties", device, found, problems };
}

function readEntity(
  { component, id, body }: Entity,
  device: string,
): { readonly found: readonly DiscoveredProperty[]; readonly problems: readonly string[] } {
  const parts = partsOf(component, body);
  const name = propertyName(textIn(body, "unique_id") ?? id);
  if (typeof parts === "string" || name === "")
    return { found: [], problems: [typeof parts === "string" ? parts : "no name"] };
  const problems: string[] = [];
  const state = usableState(device, body, problems);
  const expiry = expiryOf(body);
  const found = parts.flatMap((part) => {
    if (part.problem !== undefined) problems.push(part.problem);
    const one = { ...describe(part, { device, name, body }), state, expiry };
    const problem = Object.keys(part.config).length === 0 ? undefined : problemOf(one);
    if (problem !== undefined) problems.push(problem);
    return Object.keys(part.config).length === 0 || problem !== undefined ? [] : [one];
  });
  return { found, problems };
}

/** The state as it is announced, or none: one such field must not hold up the whole device. */
function usableState(device: string, body: JsonBody, problems: string[]): DiscoveredProperty["state"] {
  const state = availabilityOf(body);
  if (Object.keys(state).length === 0) return state;
  const property = { name: "any", visitors: { protocolName: "mqtt", configData: { topic: "any" } } };
  const problem = problemOf({ device, property, described: { name: "any" }, state, expiry: 0 });
  if (problem === undefined) return state;
  problems.push(`availability: ${problem}`);
  return {};
}

/** What the node or the API would refuse of it. */
function problemOf(found: DiscoveredProperty): string | undefined {
  if (JSON.stringify(found).length > longestProperty) return `longer than ${longestProperty} characters`;
  const { device, model } = offeredObjects([found], "node");
  const [problem] = readMapping(device, model).problems;
  if (problem)
    return `${problem.field.split(".").at(-1)} ${JSON.stringify(problem.value).slice(0, 100)} ${problem.problem}`;
  return validateDeviceModel(model)[0]?.message;
}

function describe(
  { suffix, type, accessMode, limits, config }: Part,
  entity: { readonly device: string; readonly name: string; readonly body: JsonBody },
): Pick<DiscoveredProperty, "device" | "property" | "described"> {
  const { device, body } = entity;
  const name = suffix === "" ? entity.name : `${entity.name}-${propertyName(suffix)}`;
  const title = textIn(body, "name") ?? entity.name;
  const description = (suffix === "" ? title : `${title} ${suffix}`).slice(0, 256);
  return {
    device,
    property: { name, visitors: { protocolName: "mqtt", configData: config } },
    described: { name, description, type, accessMode, ...limits },
  };
}

/** What a device is called in all of its announcements: its first identifier, its first address, or its name. */
function identityOf(body: JsonBody): string | undefined {
  const device = body["device"];
  if (!isRecord(device)) return undefined;
  const ids = device["identifiers"];
  const first: unknown = Array.isArray(ids) ? ids[0] : ids;
  if (typeof first === "string") return first;
  if (typeof first === "number") return String(first);
  const connection: unknown = Array.isArray(device["connections"]) ? device["connections"][0] : undefined;
  const address: unknown = Array.isArray(connection) ? connection[1] : undefined;
  return typeof address === "string" ? address : textIn(device, "name");
}
