import { createHash } from "node:crypto";
import { quoteText, readMapping, translateTemplate } from "#shared/devices";
import {
  validateDeviceModel,
  type Device,
  type DeviceModel,
  type DeviceProperty,
  type ModelProperty,
} from "#shared/kube";
import type { Logger } from "#shared/log";
import type { JsonBody, MqttMessage } from "#shared/topics";
import { encodeDiscovery } from "#edge/edge-hub/codec";
import { isRecord } from "#shared/json";
import type { GroupCommit } from "#edge/device-twin/outbox";
import type { AnnouncementEvents } from "#edge/device-twin/events";
import { parseJson } from "#edge/device-twin/twins";

export interface DiscoveryConfig {
  readonly node: string;
  /** undefined: nothing is looked for */
  readonly discoveryPrefix?: string | undefined;
}

/** What Home Assistant's discovery says of one property of a plain device. */
interface DiscoveredProperty {
  /** name for a Device object */
  readonly device: string;
  readonly property: DeviceProperty;
  readonly described: ModelProperty;
  /** `stateTopic`, `onlinePayload` and `offlinePayload` of the device; empty when nothing is said of it */
  readonly state: Readonly<Record<string, string>>;
}

export type Announcement =
  /** `problem`: what of it could not be taken */
  | { readonly kind: "property"; readonly found: DiscoveredProperty; readonly problem: string | undefined }
  /** It cannot be a property: nothing is better than a wrong value. */
  | { readonly kind: "left-out"; readonly problem: string }
  /** An empty payload: the entity is gone. */
  | { readonly kind: "withdrawn" };

/** The short names devices use, and what they stand for. */
const longNames: ReadonlyMap<string, string> = new Map([
  ["stat_t", "state_topic"],
  ["cmd_t", "command_topic"],
  ["cmd_tpl", "command_template"],
  ["val_tpl", "value_template"],
  ["stat_val_tpl", "state_value_template"],
  ["uniq_id", "unique_id"],
  ["unit_of_meas", "unit_of_measurement"],
  ["dev", "device"],
  ["ids", "identifiers"],
  ["avty", "availability"],
  ["avty_t", "availability_topic"],
  ["avty_tpl", "availability_template"],
  ["pl_avail", "payload_available"],
  ["pl_not_avail", "payload_not_available"],
  ["pl_on", "payload_on"],
  ["pl_off", "payload_off"],
  ["stat_on", "state_on"],
  ["stat_off", "state_off"],
]);
const onOff = new Set(["binary_sensor", "switch", "light", "fan"]);
const longestAnnouncement = 10_000;

/** At most so much is offered: whoever may publish below the prefix must not fill the outbox or the cloud. */
const mostDiscovered = 1000;
const mostPropertiesFound = 100;

/** Collects what Home Assistant's discovery says of each device and offers the whole to the cloud when it changed. */
export class HomeAssistantDiscovery {
  readonly filters: readonly string[];
  readonly #config: DiscoveryConfig;
  readonly #commit: GroupCommit;
  readonly #parts: { readonly announcements: Pick<AnnouncementEvents, "add">; readonly log: Logger };
  readonly #found = new Map<string, Map<string, DiscoveredProperty>>();
  /** What each topic announced, to forget it when it is taken back. */
  readonly #byTopic = new Map<string, DiscoveredProperty>();

  constructor(
    config: DiscoveryConfig,
    commit: GroupCommit,
    parts: { readonly announcements: Pick<AnnouncementEvents, "add">; readonly log: Logger },
  ) {
    this.#config = config;
    this.#commit = commit;
    this.#parts = parts;
    this.filters = config.discoveryPrefix ? discoveryFilters(config.discoveryPrefix) : [];
  }

  receive({ topic, payload }: MqttMessage): Promise<void> | undefined {
    const { discoveryPrefix } = this.#config;
    const said = discoveryPrefix ? readDiscovery(discoveryPrefix, topic, payload) : undefined;
    if (!said) return undefined;
    if (said.kind === "property") return this.#add(topic, said.found, said.problem);
    const before = this.#forget(topic);
    if (said.kind === "left-out") this.#complain(topic, said.problem);
    else this.#parts.announcements.add(topic, undefined);
    if (before && said.kind === "withdrawn")
      this.#parts.log.info("an announcement was taken back, its Device keeps the property", {
        topic,
        device: before.device,
        property: before.property.name,
      });
    return undefined;
  }

  #add(topic: string, one: DiscoveredProperty, problem: string | undefined): Promise<void> | undefined {
    const known = this.#found.get(one.device) ?? new Map<string, DiscoveredProperty>();
    if (known.size === 0 && this.#found.size >= mostDiscovered)
      return this.#complain(topic, `more than ${mostDiscovered} devices`);
    if (!known.has(one.property.name) && known.size >= mostPropertiesFound)
      return this.#complain(topic, `more than ${mostPropertiesFound} properties of one device`);
    this.#complain(topic, problem);
    this.#byTopic.set(topic, one);
    if (JSON.stringify(known.get(one.property.name)) === JSON.stringify(one)) return undefined;
    const before = known.get(one.property.name);
    this.#put(one, known, one);
    this.#commit.onRollback(() => this.#put(one, known, before));
    const offer = objectsOf([...known.values()], this.#config.node);
    this.#commit.report((stamp) => encodeDiscovery(stamp, one.device, offer), `discovered/${one.device}`);
    return this.#commit.settled();
  }

  #put(
    { device, property }: DiscoveredProperty,
    known: Map<string, DiscoveredProperty>,
    one: DiscoveredProperty | undefined,
  ): void {
    if (one) this.#found.set(device, known.set(property.name, one));
    else known.delete(property.name);
    if (known.size === 0) this.#found.delete(device);
  }

  #complain(topic: string, problem: string | undefined): undefined {
    if (this.#parts.announcements.add(topic, problem))
      this.#parts.log.warn("cannot take an announcement as it is", { topic, problem });
    return undefined;
  }

  #forget(topic: string): DiscoveredProperty | undefined {
    const one = this.#byTopic.get(topic);
    this.#byTopic.delete(topic);
    const known = one && this.#found.get(one.device);
    if (known) this.#put(one, known, undefined);
    return one;
  }
}

function discoveryFilters(prefix: string): string[] {
  return [`${prefix}/+/+/config`, `${prefix}/+/+/+/config`];
}

/** Reads `<prefix>/<component>/[<node>/]<object>/config`. @returns undefined for other topics */
export function readDiscovery(prefix: string, topic: string, payload: Uint8Array): Announcement | undefined {
  const levels = topic.slice(prefix.length + 1).split("/");
  if (!topic.startsWith(`${prefix}/`) || levels.at(-1) !== "config") return undefined;
  if (payload.length === 0) return { kind: "withdrawn" };
  if (payload.length > longestAnnouncement) return leftOut(`longer than ${longestAnnouncement} bytes`);
  const parsed = parseJson(payload);
  if (!parsed) return leftOut("no JSON object");
  const [component = "", ...names] = levels.slice(0, -1);
  try {
    return readEntity(component, names, expand(parsed));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return leftOut(error.message);
  }
}

function leftOut(problem: string): Announcement {
  return { kind: "left-out", problem };
}

/** @throws SyntaxError saying what cannot be mapped */
function readEntity(component: string, names: readonly string[], body: JsonBody): Announcement {
  const topic = text(body, "state_topic");
  if (topic === undefined) return leftOut("no state_topic");
  const device = objectName(identityOf(body) ?? names[0] ?? "");
  const name = propertyName(text(body, "unique_id") ?? names.at(-1) ?? "");
  if (device === "" || name === "") return leftOut("no name");
  const configData = configOf(component, body, topic);
  const property = { name, visitors: { protocolName: "mqtt", configData } };
  const found = { device, property, described: describe(component, name, body) };
  const unusable = problemOf({ ...found, state: {} });
  if (unusable !== undefined) return leftOut(unusable);
  const { state, problem } = availabilityOf(body);
  const wrong = problem ?? problemOf({ ...found, state });
  return { kind: "property", found: { ...found, state: wrong === undefined ? state : {} }, problem: wrong };
}

/** What the node or the API would not take of it: one bad entity must not keep the whole device back. */
function problemOf(found: DiscoveredProperty): string | undefined {
  const { device, model } = objectsOf([found], "node");
  const [problem] = readMapping(device, model).problems;
  if (problem)
    return `${problem.field.split(".").at(-1)} ${JSON.stringify(problem.value)} ${problem.problem}`;
  return validateDeviceModel(model)[0]?.message;
}

function describe(component: string, name: string, body: JsonBody): ModelProperty {
  return {
    name,
    description: text(body, "name") ?? name,
    type: typeOf(component, body),
    accessMode: text(body, "command_topic") === undefined ? "ReadOnly" : "ReadWrite",
    ...limits(component, body),
  };
}

/** Device and model made of everything known of a device; the cloud decides whether it takes them. */
export function objectsOf(
  found: readonly DiscoveredProperty[],
  node: string,
): { readonly device: Device; readonly model: DeviceModel } {
  const name = found[0]?.device ?? "";
  const state = found.find((one) => one.state["stateTopic"] !== undefined)?.state ?? {};
  const metadata = {
    name,
    namespace: "default",
    labels: { "devices.kubeedge.io/discovered-by": "home-assistant" },
  };
  const apiVersion = "devices.kubeedge.io/v1beta1";
  return {
    model: {
      apiVersion,
      kind: "DeviceModel",
      metadata,
      spec: { protocol: "mqtt", properties: found.map(({ described }) => described) },
    },
    device: {
      apiVersion,
      kind: "Device",
      metadata,
      spec: {
        deviceModelRef: { name },
        nodeName: node,
        properties: found.map(({ property }) => property),
        protocol: { protocolName: "mqtt", configData: state },
      },
    },
  };
}

function configOf(component: string, body: JsonBody, topic: string): Record<string, string> {
  const isJson = component === "light" && body["schema"] === "json";
  if (component === "light" && body["schema"] === "template") throw new SyntaxError("schema template");
  const template = isJson ? "{{ value_json.state }}" : templateOf(body);
  const { path, expression } = translate(template);
  const on = payloadOf(body, "payload_on", "ON");
  const off = payloadOf(body, "payload_off", "OFF");
  if (!onOff.has(component))
    return { topic, ...path, ...(expression === "value" ? {} : { expression }), ...commandOf(body) };
  const [isOn, isOff] = [payloadOf(body, "state_on", on), payloadOf(body, "state_off", off)];
  const tell = (payload: string): string => (isJson ? JSON.stringify({ state: payload }) : payload);
  return {
    topic,
    ...path,
    // What is neither is no value at all.
    expression: `${isPayload(expression, isOn)} ? true : ${isPayload(expression, isOff)} ? false : "neither"`,
    ...commandOf(body, [tell(on), tell(off)]),
  };
}

function templateOf(body: JsonBody): string {
  return text(body, "value_template") ?? text(body, "state_value_template") ?? "{{ value }}";
}

function translate(template: string): {
  readonly path: { readonly path?: string };
  readonly expression: string;
} {
  const translated = translateTemplate(template);
  if (!translated.ok)
    throw new SyntaxError(`value_template ${JSON.stringify(template.slice(0, 100))} ${translated.problem}`);
  const { path, expression } = translated;
  return { path: path === undefined ? {} : { path }, expression };
}

function commandOf(body: JsonBody, onOffPayloads?: readonly [string, string]): Record<string, string> {
  const setTopic = text(body, "command_topic");
  if (setTopic === undefined) return {};
  const template = text(body, "command_template");
  if (template === undefined) {
    const [setOn, setOff] = onOffPayloads ?? [];
    return {
      setTopic,
      ...(setOn === undefined ? {} : { setOn }),
      ...(setOff === undefined ? {} : { setOff }),
    };
  }
  if (/\{%|\{\{/.test(template.replaceAll(/\{\{\s*value\s*\}\}/g, "")))
    throw new SyntaxError(
      `command_template ${JSON.stringify(template.slice(0, 100))} has more than {{ value }}`,
    );
  const [setOn, setOff] = (onOffPayloads ?? []).map((payload) =>
    template.replaceAll(/\{\{\s*value\s*\}\}/g, () => payload),
  );
  if (setOn !== undefined && setOff !== undefined) return { setTopic, setOn, setOff };
  return { setTopic, setPayload: template };
}

/** A payload may be written as a number or as true and false. */
function payloadOf(body: JsonBody, name: string, otherwise: string): string {
  const value = body[name];
  if (typeof value === "boolean" || typeof value === "number") return String(value);
  return typeof value === "string" && value !== "" ? value : otherwise;
}

function isPayload(expression: string, payload: string): string {
  // Python writes True where JSON has true.
  if (/^(true|false)$/i.test(payload)) return `lower(${expression}) == "${payload.toLowerCase()}"`;
  const quoted = quoteText(payload);
  if (quoted === undefined) throw new SyntaxError(`payload ${payload.slice(0, 50)} has both kinds of quotes`);
  return `${expression} == ${quoted}`;
}

/** Of several places where the device says that it is there, none can be believed alone. */
function availabilityOf(body: JsonBody): {
  readonly state: Readonly<Record<string, string>>;
  readonly problem: string | undefined;
} {
  const list = Array.isArray(body["availability"]) ? body["availability"].filter(isRecord) : undefined;
  const place = list?.[0] ?? body;
  const stateTopic = text(place, list ? "topic" : "availability_topic");
  if (stateTopic === undefined) return { state: {}, problem: undefined };
  if (list && list.length > 1)
    return { state: {}, problem: "availability has more than one topic: its state is not read" };
  if (text(place, list ? "value_template" : "availability_template") !== undefined)
    return { state: {}, problem: "availability has a template: its state is not read" };
  const onlinePayload = payloadOf(place, "payload_available", "online");
  const offlinePayload = payloadOf(place, "payload_not_available", "offline");
  return { state: { stateTopic, onlinePayload, offlinePayload }, problem: undefined };
}

function typeOf(component: string, body: JsonBody): "BOOLEAN" | "FLOAT" | "STRING" {
  if (onOff.has(component)) return "BOOLEAN";
  return component === "number" || text(body, "unit_of_measurement") !== undefined ? "FLOAT" : "STRING";
}

function limits(component: string, body: JsonBody): Pick<ModelProperty, "minimum" | "maximum" | "unit"> {
  const unit = text(body, "unit_of_measurement");
  const isNumber = component === "number";
  return {
    ...(isNumber && typeof body["min"] === "number" ? { minimum: String(body["min"]) } : {}),
    ...(isNumber && typeof body["max"] === "number" ? { maximum: String(body["max"]) } : {}),
    ...(unit === undefined ? {} : { unit }),
  };
}

/** Long names, and `~` in topics replaced by the base topic; of the body and the objects in it, no deeper. */
function expand(body: JsonBody): JsonBody {
  const base = typeof body["~"] === "string" ? body["~"] : undefined;
  const inner = (value: unknown): unknown => (isRecord(value) ? expandNames(value, base) : value);
  const entries = Object.entries(expandNames(body, base)).map(([name, value]): [string, unknown] => [
    name,
    Array.isArray(value) ? value.map(inner) : inner(value),
  ]);
  return Object.fromEntries(entries);
}

function expandNames(body: JsonBody, base: string | undefined): JsonBody {
  const entries = Object.entries(body).map(([name, value]): [string, unknown] => {
    const long = name === "t" ? "topic" : (longNames.get(name) ?? name);
    const isTopic = typeof value === "string" && (long === "topic" || long.endsWith("_topic"));
    return [long, isTopic && base !== undefined ? fillBase(value, base) : value];
  });
  return Object.fromEntries(entries);
}

/** `~` stands for the base at the start or at the end. */
function fillBase(topic: string, base: string): string {
  if (topic.startsWith("~")) return base + topic.slice(1);
  return topic.endsWith("~") ? topic.slice(0, -1) + base : topic;
}

function identityOf(body: JsonBody): string | undefined {
  const device = body["device"];
  if (!isRecord(device)) return undefined;
  const ids = device["identifiers"];
  const first: unknown = Array.isArray(ids) ? ids[0] : ids;
  return typeof first === "string" ? first : text(device, "name");
}

/** A name Kubernetes takes; what had to be changed leaves a trace, so that two devices do not become one. */
function objectName(id: string): string {
  const plain = id
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-+|-+$/g, "")
    .slice(0, 50);
  if (plain === id || id === "") return plain;
  return `${plain === "" ? "device" : plain}-${createHash("sha256").update(id).digest("hex").slice(0, 6)}`;
}

function propertyName(id: string): string {
  return id.replaceAll(/[^a-zA-Z0-9\-_.]+/g, "-").slice(0, 100);
}

function text(body: JsonBody, name: string): string | undefined {
  const value = body[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}
