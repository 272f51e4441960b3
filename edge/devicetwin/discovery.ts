import { createHash } from "node:crypto";
import type { Device, DeviceModel, DeviceProperty, ModelProperty } from "#shared/kube";
import type { MqttMessage } from "#shared/message";
import type { Batch } from "./batch.ts";
import { isFields, parseJson, type Fields } from "./requests.ts";

export interface DiscoveryConfig {
  readonly node: string;
  /** undefined: nothing is looked for */
  readonly discoveryPrefix?: string | undefined;
}

/** What Home Assistant's discovery says of one property of a plain device. */
interface Discovered {
  /** name for a Device object */
  readonly device: string;
  readonly property: DeviceProperty;
  readonly described: ModelProperty;
  readonly stateTopic: string | undefined;
}

/** The short names devices use, and what they stand for. */
const longNames: Readonly<Record<string, string>> = {
  stat_t: "state_topic",
  cmd_t: "command_topic",
  val_tpl: "value_template",
  uniq_id: "unique_id",
  unit_of_meas: "unit_of_measurement",
  dev: "device",
  ids: "identifiers",
  avty_t: "availability_topic",
  pl_on: "payload_on",
  pl_off: "payload_off",
};
const onOff = new Set(["binary_sensor", "switch", "light", "fan"]);

/** At most so much is offered: whoever may publish below the prefix must not fill the outbox or the cloud. */
const mostDiscovered = 1000;
const mostPropertiesFound = 100;
const longestAnnouncement = 10_000;

/** Collects what Home Assistant's discovery says of each device and offers the whole to the cloud when it changed. */
export class Discovery {
  readonly filters: readonly string[];
  readonly #config: DiscoveryConfig;
  readonly #batch: Batch;
  readonly #found = new Map<string, Map<string, Discovered>>();

  constructor(config: DiscoveryConfig, batch: Batch) {
    this.#config = config;
    this.#batch = batch;
    this.filters = config.discoveryPrefix ? discoveryFilters(config.discoveryPrefix) : [];
  }

  hear({ topic, payload }: MqttMessage): Promise<void> | undefined {
    const { discoveryPrefix, node } = this.#config;
    if (!discoveryPrefix || payload.length > longestAnnouncement) return undefined;
    const one = readDiscovery(discoveryPrefix, topic, payload);
    if (!one) return undefined;
    const known = this.#found.get(one.device) ?? new Map<string, Discovered>();
    if (known.size === 0 && this.#found.size >= mostDiscovered) return undefined;
    if (!known.has(one.property.name) && known.size >= mostPropertiesFound) return undefined;
    if (JSON.stringify(known.get(one.property.name)) === JSON.stringify(one)) return undefined;
    const { name } = one.property;
    const before = known.get(name);
    this.#found.set(one.device, known.set(name, one));
    this.#batch.undo(() => {
      if (before) known.set(name, before);
      else known.delete(name);
    });
    this.#batch.tellCloud(`device/${one.device}/discovered`, objectsOf([...known.values()], node), {
      operation: "insert",
      key: `discovered/${one.device}`,
    });
    return this.#batch.settled();
  }
}

function discoveryFilters(prefix: string): string[] {
  return [`${prefix}/+/+/config`, `${prefix}/+/+/+/config`];
}

/** Reads `<prefix>/<component>/[<node>/]<object>/config`. @returns undefined for what cannot be mapped */
function readDiscovery(prefix: string, topic: string, payload: Uint8Array): Discovered | undefined {
  const levels = topic.slice(prefix.length + 1).split("/");
  const [component = "", ...names] = levels.slice(0, -1);
  const body = expand(parseJson(payload) ?? {});
  const state = text(body, "state_topic");
  if (!topic.startsWith(`${prefix}/`) || levels.at(-1) !== "config" || state === undefined) return undefined;
  const device = objectName(identityOf(body) ?? names[0] ?? "");
  const name = propertyName(text(body, "unique_id") ?? names.at(-1) ?? "");
  if (device === "" || name === "") return undefined;
  const configData = configOf(component, body, state);
  return {
    device,
    property: { name, visitors: { protocolName: "mqtt", configData } },
    described: describe(component, name, body),
    stateTopic: text(body, "availability_topic"),
  };
}

function describe(component: string, name: string, body: Fields): ModelProperty {
  return {
    name,
    description: text(body, "name") ?? name,
    type: typeOf(component, body),
    accessMode: text(body, "command_topic") === undefined ? "ReadOnly" : "ReadWrite",
    ...limits(body),
  };
}

/** Device and model made of everything known of a device; the cloud decides whether it takes them. */
function objectsOf(
  found: readonly Discovered[],
  node: string,
): { readonly device: Device; readonly model: DeviceModel } {
  const name = found[0]?.device ?? "";
  const stateTopic = found.find((one) => one.stateTopic !== undefined)?.stateTopic;
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
        protocol: { protocolName: "mqtt", configData: stateTopic === undefined ? {} : { stateTopic } },
      },
    },
  };
}

function configOf(component: string, body: Fields, topic: string): Record<string, string> {
  const command = text(body, "command_topic");
  const on = text(body, "payload_on") ?? "ON";
  const off = text(body, "payload_off") ?? "OFF";
  const path = /\{\{\s*value_json((?:\.\w+|\[['"\w]+\])+)/.exec(text(body, "value_template") ?? "")?.[1];
  const isSwitch = onOff.has(component);
  return {
    topic,
    ...(path === undefined ? {} : { path: `$${path}` }),
    ...(isSwitch ? { expression: `value == ${quoteText(on)}` } : {}),
    ...(command === undefined ? {} : { setTopic: command }),
    ...(command !== undefined && isSwitch ? { setOn: on, setOff: off } : {}),
  };
}

function typeOf(component: string, body: Fields): "BOOLEAN" | "FLOAT" | "STRING" {
  if (onOff.has(component)) return "BOOLEAN";
  return component === "number" || text(body, "unit_of_measurement") !== undefined ? "FLOAT" : "STRING";
}

function limits(body: Fields): Pick<ModelProperty, "minimum" | "maximum" | "unit"> {
  const unit = text(body, "unit_of_measurement");
  return {
    ...(typeof body["min"] === "number" ? { minimum: String(body["min"]) } : {}),
    ...(typeof body["max"] === "number" ? { maximum: String(body["max"]) } : {}),
    ...(unit === undefined ? {} : { unit }),
  };
}

/** Long names, and `~` in topics replaced by the base topic; of the body and the objects in it, no deeper. */
function expand(body: Fields, inner = false): Fields {
  const base = typeof body["~"] === "string" ? body["~"] : "";
  const entries = Object.entries(body).map(([name, value]): [string, unknown] => {
    const long = longNames[name] ?? name;
    const full = typeof value === "string" && long.endsWith("_topic") ? value.replace(/^~|~$/, base) : value;
    return [long, isFields(full) && !inner ? expand(full, true) : full];
  });
  return Object.fromEntries(entries);
}

function identityOf(body: Fields): string | undefined {
  const device = body["device"];
  if (!isFields(device)) return undefined;
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

function quoteText(value: string): string {
  return value.includes('"') ? `'${value}'` : `"${value}"`;
}

function text(body: Fields, name: string): string | undefined {
  const value = body[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}
