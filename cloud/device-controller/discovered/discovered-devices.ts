import { createHash } from "node:crypto";
import type { Clock } from "#shared/clock";
import { sanitizeDevice } from "#shared/devices";
import { describeError } from "#shared/errors";
import {
  validateDevice,
  type Device,
  type DeviceModel,
  type DeviceProperty,
  type DeviceSpec,
  type KubeObject,
  type ModelProperty,
} from "#shared/kube";
import { backoff } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { KubeClient, ResourceType } from "#cloud/kube-client";
import type { DiscoveredDevice } from "#shared/topics";

const label = "devices.kubeedge.io/discovered-by";
const finder = "devices.kubeedge.io/discovered-on";
/** A digest of what was announced last, by property: what did not change since is the user's. */
const announced = "devices.kubeedge.io/announced";
const apiVersion = "devices.kubeedge.io/v1beta1";
/** Keys of `configData` and fields of a model's property that an announcement sets, and takes back by leaving them out. */
const announcedKeys = new Set(["topic", "path", "expression", "setTopic", "setPayload", "setOn", "setOff"]);
const announcedFields = new Set(["description", "type", "accessMode", "minimum", "maximum", "unit"]);

/** Refusals that may not last: somebody else was faster, or the API is not ready. */
const passing = new Set([404, 408, 409, 429]);

/** A device a node found, as its announcements describe it; not all of them need have come yet. */
export interface Found {
  readonly name: string;
  readonly node: string;
  readonly properties: readonly DeviceProperty[];
  readonly described: readonly ModelProperty[];
  /** of the device's own state */
  readonly protocol: Readonly<Record<string, unknown>>;
}

/** What a node offers; undefined when it is not what a node may make: a device of its own, in namespace default. */
export function readDiscovered({ node, device, model }: DiscoveredDevice): Found | undefined {
  const name = nameOf(device);
  if (name === undefined) return undefined;
  const [spec, described] = [sanitizeDevice(device).spec, sanitizeDevice(model).spec];
  if (!spec || !described) return undefined;
  return {
    name,
    node,
    properties: (spec.properties ?? []).map(withoutWishes),
    described: described.properties ?? [],
    protocol: spec.protocol?.configData ?? {},
  };
}

function nameOf({ metadata }: Device): string | undefined {
  const name: unknown = metadata.name;
  return typeof name === "string" && /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name) ? name : undefined;
}

function withoutWishes({ name, visitors }: DeviceProperty): DeviceProperty {
  return { name, ...(visitors ? { visitors } : {}) };
}

export interface DiscoveredOptions {
  readonly kube: KubeClient;
  readonly devices: ResourceType;
  readonly models: ResourceType;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Waiting {
  readonly found: Found;
  readonly done: readonly (() => void)[];
}

/**
 * Brings announcements into Device and DeviceModel. One at a time for each device, of several that wait the newest;
 * `done` is called once they are in the API, or can never be. What fails for now is tried again, slower and slower.
 */
export class DiscoveredDevices implements AsyncDisposable {
  readonly #options: DiscoveredOptions;
  /** device → node → its newest announcement */
  readonly #waiting = new Map<string, Map<string, Waiting>>();
  readonly #busy = new Map<string, Promise<void>>();
  readonly #stop = new AbortController();

  constructor(options: DiscoveredOptions) {
    this.#options = options;
  }

  submit(found: Found, done: () => void): void {
    if (this.#stop.signal.aborted) return;
    const { name, node } = found;
    const ofDevice = this.#waiting.get(name) ?? new Map<string, Waiting>();
    this.#waiting.set(name, ofDevice);
    ofDevice.set(node, { found, done: [...(ofDevice.get(node)?.done ?? []), done] });
    if (this.#busy.has(name)) return;
    this.#busy.set(name, this.#drain(name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#busy.values());
  }

  async #drain(name: string): Promise<void> {
    const { clock } = this.#options;
    const delays = backoff({ firstMs: 100, capMs: 10_000, random: () => clock.random() });
    for (;;) {
      const [entry] = this.#waiting.get(name) ?? [];
      if (!entry || this.#stop.signal.aborted) break;
      const [node, waiting] = entry;
      if (!(await this.#try(waiting.found))) {
        await clock.sleep(delays.next().value, { signal: this.#stop.signal }).catch(() => undefined);
        continue;
      }
      // What came meanwhile has another place in the map, and its own turn; what it replaced is answered with it.
      if (this.#waiting.get(name)?.get(node) === waiting) this.#waiting.get(name)?.delete(node);
      for (const done of waiting.done) done();
    }
    this.#waiting.delete(name);
    this.#busy.delete(name);
  }

  /** @returns whether there is nothing more to do about it */
  async #try(found: Found): Promise<boolean> {
    const { log } = this.#options;
    const about = { device: found.name, node: found.node };
    try {
      await this.#take(found);
      return true;
    } catch (error) {
      const status = httpStatus(error);
      const final = typeof status === "number" && status >= 400 && status < 500 && !passing.has(status);
      if (final) log.warn("discovered device is refused", { ...about, error: describeError(error) });
      else if (status !== 409)
        log.warn("cannot take a discovered device now", { ...about, error: describeError(error) });
      return final;
    }
  }

  async #take(found: Found): Promise<void> {
    const { kube, devices, models, log } = this.#options;
    const { name, node } = found;
    const at = { name, namespace: "default" };
    const [device, model] = await Promise.all([
      kube.find<Device>(devices, at),
      kube.find<DeviceModel>(models, at),
    ]);
    if ([device, model].some((object) => object && !isOf(object, node)) || isTakenOver(device, name)) {
      log.info("discovered device has the name of another", { device: name, node });
      return;
    }
    const wanted = merge(found, device, model);
    if (wanted.kept.length > 0)
      log.warn("announced properties contradict what the device is asked for and stay as they are", {
        device: name,
        properties: wanted.kept,
      });
    // A Device without a model contradicts nothing, and no model is left behind when somebody else made the Device.
    if (!device) await kube.create(devices, wanted.device);
    if (!model) await kube.create(models, wanted.model);
    else await this.#patch(models, model, wanted.model);
    if (device) await this.#patch(devices, device, wanted.device);
  }

  /** Fails with a conflict when somebody changed the object meanwhile. */
  async #patch(type: ResourceType, before: KubeObject, after: KubeObject): Promise<void> {
    const { name = "", namespace = "", resourceVersion, annotations } = before.metadata;
    const same =
      Bun.deepEquals(before["spec"], after["spec"]) &&
      Bun.deepEquals(annotations, after.metadata.annotations);
    if (same) return;
    const metadata = { resourceVersion, annotations: after.metadata.annotations };
    const patch = { metadata, spec: after["spec"] };
    await this.#options.kube.patch(type, { name, namespace }, patch, { type: "merge" });
  }
}

function isOf({ metadata }: KubeObject, node: string): boolean {
  return metadata.annotations?.[finder] === node;
}

/** A user gave it another model: what is announced has no place there. */
function isTakenOver(device: Device | undefined, name: string): boolean {
  const model = device?.spec?.deviceModelRef?.name;
  return device !== undefined && model !== name;
}

interface Merged {
  readonly device: Device;
  readonly model: DeviceModel;
  /** Properties whose new description the desired value contradicts: neither object changes there. */
  readonly kept: readonly string[];
}

/** What was announced goes over what was announced before; all else, and what did not change since, stays. */
function merge(found: Found, device: Device | undefined, model: DeviceModel | undefined): Merged {
  const told = readDigests(device);
  const fresh = { ...found, ...changedSince(found, told) };
  const all = build(fresh, device, model, told);
  const bad = new Set(
    validateDevice(all.device, all.model).map(({ field }) => propertyAt(all.device, field)),
  );
  const kept = fresh.properties.map(({ name }) => name).filter((name) => bad.has(name));
  if (kept.length === 0) return { ...all, kept };
  const without = <T extends { readonly name: string }>(list: readonly T[]): T[] =>
    list.filter(({ name }) => !kept.includes(name));
  const rest = { ...fresh, properties: without(fresh.properties), described: without(fresh.described) };
  return { ...build(rest, device, model, told), kept };
}

function propertyAt(device: Device, field: string): string | undefined {
  const index = Number(/^spec\.properties\[(\d+)\]/.exec(field)?.[1]);
  return device.spec?.properties?.[index]?.name;
}

function build(
  found: Found,
  ...[device, model, told]: [Device | undefined, DeviceModel | undefined, ReadonlyMap<string, string>]
): Omit<Merged, "kept"> {
  const digests = JSON.stringify(Object.fromEntries([...told, ...digestsOf(found)]));
  const annotations = { ...device?.metadata.annotations, [announced]: digests };
  return {
    device: { ...shell(found, "Device", annotations), spec: deviceSpec(found, device?.spec) },
    model: {
      ...shell(found, "DeviceModel", model?.metadata.annotations),
      spec: {
        protocol: "mqtt",
        ...model?.spec,
        properties: mergeByName(model?.spec?.properties ?? [], found.described, mergeDescription),
      },
    },
  };
}

function shell(
  { name, node }: Found,
  kind: string,
  annotations: Readonly<Record<string, string>> | undefined,
): KubeObject {
  const labels = { [label]: "home-assistant" };
  const metadata = { name, namespace: "default", labels, annotations: { ...annotations, [finder]: node } };
  return { apiVersion, kind, metadata };
}

function deviceSpec({ name, node, properties, protocol }: Found, before: Device["spec"]): DeviceSpec {
  const spec = before ?? { deviceModelRef: { name }, nodeName: node };
  const configData = { ...spec.protocol?.configData, ...protocol };
  return {
    ...spec,
    properties: mergeByName(spec.properties ?? [], properties, mergeProperty),
    protocol: { protocolName: "mqtt", ...spec.protocol, configData },
  };
}

function mergeByName<T extends { name: string }>(
  before: readonly T[],
  found: readonly T[],
  mergeOne: (before: T, found: T) => T,
): T[] {
  const fresh = new Map(found.map((one) => [one.name, one]));
  const kept = before.map((one) => {
    const next = fresh.get(one.name);
    fresh.delete(one.name);
    return next ? mergeOne(one, next) : one;
  });
  return [...kept, ...fresh.values()];
}

function mergeProperty(before: DeviceProperty, found: DeviceProperty): DeviceProperty {
  const own = without(before.visitors?.configData ?? {}, announcedKeys);
  const configData = { ...own, ...found.visitors?.configData };
  return { ...before, visitors: { ...before.visitors, ...found.visitors, configData } };
}

function mergeDescription(before: ModelProperty, found: ModelProperty): ModelProperty {
  return { ...without({ ...before }, announcedFields), ...found };
}

function without(
  fields: Readonly<Record<string, unknown>>,
  names: ReadonlySet<string>,
): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !names.has(name)));
}

/** Of the device itself, beside those of its properties. */
const ofDevice = "";

function changedSince(found: Found, told: ReadonlyMap<string, string>): Partial<Found> {
  const changed = new Set(
    [...digestsOf(found)].flatMap(([name, now]) => (told.get(name) === now ? [] : [name])),
  );
  return {
    properties: found.properties.filter(({ name }) => changed.has(name)),
    described: found.described.filter(({ name }) => changed.has(name)),
    protocol: changed.has(ofDevice) ? found.protocol : {},
  };
}

function digestsOf(found: Found): Map<string, string> {
  const described = new Map(found.described.map((one) => [one.name, one]));
  const digests = found.properties.map(
    (property) => [property.name, digest([property, described.get(property.name)])] as const,
  );
  const own = Object.keys(found.protocol).length === 0 ? [] : [[ofDevice, digest(found.protocol)] as const];
  return new Map([...digests, ...own]);
}

function readDigests(device: Device | undefined): ReadonlyMap<string, string> {
  try {
    const stored: unknown = JSON.parse(device?.metadata.annotations?.[announced] ?? "{}");
    if (typeof stored !== "object" || stored === null) return new Map();
    return new Map(
      Object.entries(stored).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
    );
  } catch (error) {
    if (error instanceof SyntaxError) return new Map();
    throw error;
  }
}

function digest(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 12);
}

function httpStatus(error: unknown): unknown {
  return typeof error === "object" && error !== null && "httpStatus" in error ? error.httpStatus : undefined;
}
