import { randomUUID } from "node:crypto";
import type { Clock } from "#shared/clock";
import {
  commandChanges,
  readMapping,
  sanitizeDevice,
  twinTypeOf,
  type DeviceMapping,
  type MappingProblem,
} from "#shared/devices";
import { validateDevice, type Device as DeviceObject, type DeviceModel } from "#shared/kube";
import { deviceTopic, nodePrefix, TopicTrie } from "#shared/mqtt";
import type { JsonBody, ObjectChange, TwinDelivery } from "#shared/topics";
import type { Logger } from "#shared/log";
import { asText, isRecord } from "#shared/json";
import type { GroupCommit, DeviceMessage } from "#edge/device-twin/outbox";
import type { DeviceEvents } from "#edge/device-twin/events";
import { reportState, type TwinWriter } from "#edge/device-twin/values";
import {
  commandsFor,
  describeDevice,
  liveTwins,
  newDevice,
  topicNames,
  wireAttributes,
  type DeviceAttribute,
  type BoundDevice,
  type DeviceRegistry,
} from "#edge/device-twin/devices";
import {
  parseJson,
  readEventId,
  readMember,
  readTwins,
  isDeleted,
  toCloud,
  toCloudAsWanted,
  applySync,
  retype,
  undeclared,
  type OwnProperties,
} from "#edge/device-twin/twins";
import { desiredChanges, readAttribute, sameAttribute } from "./object-fields.ts";

/** Of a namespace (63), a slash and a name (253). */
const longestId = 317;

export interface DeviceObjectsOptions {
  readonly registry: DeviceRegistry;
  readonly commit: GroupCommit;
  readonly writer: TwinWriter;
  readonly clock: Pick<Clock, "nowMs">;
  readonly node: string;
  readonly events: Pick<DeviceEvents, "deviceProblems" | "contradictions" | "modelProblems" | "modelChanged">;
  readonly log: Logger;
  /** Told when the topics of plain devices (`filters`) changed. */
  readonly onFilters: () => void;
}

/** What the cloud says of devices: membership, attributes, syncs and the Device and DeviceModel objects themselves. */
export class DeviceObjects {
  readonly #options: DeviceObjectsOptions;
  readonly #models = new Map<string, DeviceModel>();
  /** Twin types of each model's properties, shared by its devices. */
  readonly #types = new Map<string, ReadonlyMap<string, string | undefined>>();
  readonly #objects = new Map<string, DeviceObject>();
  /** Devices by the topics their mapping reads. */
  readonly readers = new TopicTrie<BoundDevice>();
  readonly #filters = new Map<string, number>();

  constructor(options: DeviceObjectsOptions) {
    this.#options = options;
  }

  get filters(): readonly string[] {
    return [...this.#filters.keys()];
  }

  /** What the cloud sends about devices; settles with the commit. */
  deliver(delivery: Exclude<TwinDelivery, { kind: "history" }>): Promise<void> {
    switch (delivery.kind) {
      case "membership":
        return this.#membership(delivery.body);
      case "members":
        return this.#detail(delivery.body);
      case "attributes":
        return this.#attributes(delivery.device, delivery.body);
      case "twins":
        return this.sync(delivery.device, delivery.body);
    }
  }

  /** Takes over a `cloud_updated` body. */
  sync(written: string, body: JsonBody): Promise<void> {
    const { registry, commit, clock } = this.#options;
    const device = registry.find(written);
    const twins = readTwins(body["twin"]);
    if (!device || !twins) return Promise.resolve();
    const now = clock.nowMs();
    const told = commandsFor(device);
    const { changes, newerHere } = applySync(device.twins, twins, now);
    for (const { name, after } of changes) commit.setTwin(device, name, after);
    if (newerHere.length > 0) {
      const own = newerHere.flatMap((name) => {
        const twin = device.twins.get(name);
        return twin ? [[name, toCloud(twin)] as const] : [];
      });
      commit.reportTwins(device, now, own);
    }
    const said = this.#options.writer.messages(device, changes);
    return commit.reply({ publish: [...said, ...commandChanges(told, commandsFor(device))] });
  }

  /** A Device or DeviceModel was stored or removed; settles with the commit of what follows from it. */
  change({ type, namespace, name, object }: ObjectChange): Promise<void> {
    const key = `${namespace}/${name}`;
    if (type === "devicemodel") return this.#modelChanged(key, object);
    if (type !== "device") return Promise.resolve();
    if (!object) {
      this.#setObject(key, undefined);
      const device = this.#options.registry.ofObject(namespace, name);
      return device ? this.#remove([device]) : this.#options.commit.settled();
    }
    const given = sanitizeDevice(object as DeviceObject);
    const gone = this.#replaced(key, given);
    this.#setObject(key, thin(given));
    return Promise.all([gone, this.#deviceChanged(namespace, name, given)]).then(() => undefined);
  }

  #setObject(key: string, object: DeviceObject | undefined): void {
    const before = this.#objects.get(key);
    const put = (one: DeviceObject | undefined): unknown =>
      one ? this.#objects.set(key, one) : this.#objects.delete(key);
    put(object);
    this.#options.commit.onRollback(() => put(before));
  }

  /** A device of the same name with another uid is another device: nothing of the old one is its own. */
  #replaced(key: string, { metadata }: DeviceObject): Promise<void> | undefined {
    const before = this.#objects.get(key);
    const [namespace = "", name = ""] = key.split("/");
    const device = this.#options.registry.ofObject(namespace, name);
    const uid = before?.metadata.uid;
    const same = uid === undefined || metadata.uid === undefined || uid === metadata.uid;
    return same || !device ? undefined : this.#remove([device]);
  }

  /** At start: the objects stored before, without telling anybody of what is known already. Settles with the commit. */
  restore(
    objects: Iterable<Omit<ObjectChange, "object"> & { readonly object: DeviceObject | DeviceModel }>,
  ): Promise<void> {
    const devices: { namespace: string; name: string; object: DeviceObject }[] = [];
    for (const { type, namespace, name, object } of objects) {
      if (type === "devicemodel") this.#putModel(`${namespace}/${name}`, object as DeviceModel);
      else devices.push({ namespace, name, object: sanitizeDevice(object as DeviceObject) });
    }
    for (const { namespace, name, object } of devices) {
      this.#setObject(`${namespace}/${name}`, thin(object));
      void this.#deviceChanged(namespace, name, object, true);
    }
    return this.#options.commit.settled();
  }

  /** `restored`: its desired values were told before. */
  #deviceChanged(namespace: string, name: string, object: DeviceObject, restored = false): Promise<void> {
    const { registry, commit, clock } = this.#options;
    const known = registry.ofObject(namespace, name);
    const device = known ?? this.#newDevice(namespace, name, object);
    const { object: objectBefore } = device;
    commit.onRollback(() => Object.assign(device, { object: objectBefore }));
    device.object = { namespace, name, uid: object.metadata.uid };
    const before = commandsFor(device);
    this.#map(device, object);
    const told = restored ? commandsFor(device) : before;
    const now = clock.nowMs();
    const changes = desiredChanges(device, object, now);
    for (const { name: property, after } of changes) commit.setTwin(device, property, after);
    // The cloud shows what of it the node has seen.
    const seen = changes.map(({ name: property, after }) => [property, toCloudAsWanted(after)] as const);
    if (seen.length > 0) commit.reportTwins(device, now, seen);
    const publish = [
      ...(known ? [] : [this.#membershipUpdated({ added: [device] })]),
      ...this.#options.writer.messages(device, changes),
      ...commandChanges(told, commandsFor(device)),
    ];
    return commit.reply({ publish });
  }

  #newDevice(namespace: string, name: string, object: DeviceObject): BoundDevice {
    const { registry, commit } = this.#options;
    const id = registry.freeId({ id: name, name, namespace });
    const device = newDevice(id, name, object.metadata.labels?.["description"] ?? "");
    commit.addDevice(device);
    return device;
  }

  #modelChanged(key: string, model: DeviceModel | undefined): Promise<void> {
    this.#putModel(key, model);
    const publish: DeviceMessage[] = [];
    for (const object of this.#objects.values()) {
      if (`${object.metadata.namespace}/${object.spec?.deviceModelRef?.name}` !== key) continue;
      const device = this.#options.registry.ofObject(
        object.metadata.namespace ?? "",
        object.metadata.name ?? "",
      );
      if (!device) continue;
      const told = commandsFor(device);
      this.#map(device, object);
      publish.push(...commandChanges(told, commandsFor(device)));
    }
    return this.#options.commit.reply({ publish });
  }

  #putModel(key: string, given: DeviceModel | undefined): void {
    const model = given && sanitizeDevice(given);
    this.#options.events.modelChanged(key);
    if (!model) {
      this.#models.delete(key);
      this.#types.delete(key);
      return;
    }
    this.#models.set(key, model);
    const types = (model.spec?.properties ?? []).map(
      (property) => [property.name, twinTypeOf(property)] as const,
    );
    this.#types.set(key, new Map(types));
  }

  /** What the Device and its model say of topics and types. */
  #map(device: BoundDevice, object: DeviceObject): void {
    const key = `${object.metadata.namespace}/${object.spec?.deviceModelRef?.name}`;
    const { mapping: mappingBefore, own, declared } = device;
    const model = this.#models.get(key);
    const { mapping, problems } = readMapping(object, model);
    this.#complain(device, object, model, problems);
    this.#setFilters(device, filtersOf(mappingBefore), filtersOf(mapping));
    this.#options.commit.onRollback(() => Object.assign(device, { mapping: mappingBefore, own, declared }));
    device.mapping = mapping;
    device.own = {
      listed: object.spec?.properties ?? [],
      types: this.#types.get(key) ?? noTypes,
      isWhole: model !== undefined || !object.spec?.deviceModelRef?.name,
    };
    for (const [name, type] of device.own.types) this.#retype(device, name, type);
    this.#prune(device, device.own);
  }

  /** Twins go with the property that declared them. */
  #prune(device: BoundDevice, own: OwnProperties): void {
    if (!own.isWhole) return;
    const gone = undeclared(device.declared, own).filter((name) => device.twins.has(name));
    for (const name of gone) this.#options.commit.setTwin(device, name, undefined);
    device.declared = own;
  }

  #complain(
    device: BoundDevice,
    object: DeviceObject,
    model: DeviceModel | undefined,
    problems: readonly MappingProblem[],
  ): void {
    const { events, log } = this.#options;
    if (problems.length > 0) log.warn("cannot use parts of a device", { device: device.id, problems });
    events.deviceProblems(object, problems);
    events.contradictions(object, validateDevice(object, model));
    if (model) events.modelProblems(model, problems);
  }

  #retype(device: BoundDevice, name: string, type: string | undefined): void {
    const before = device.twins.get(name);
    const after = before && type !== undefined ? retype(before, type) : undefined;
    if (after) this.#options.commit.setTwin(device, name, after);
  }

  #setFilters(device: BoundDevice, before: readonly string[], after: readonly string[]): void {
    if (before.join("\n") === after.join("\n")) return;
    this.#options.commit.onRollback(() => this.#moveReader(device, after, before));
    this.#moveReader(device, before, after);
  }

  #moveReader(device: BoundDevice, before: readonly string[], after: readonly string[]): void {
    for (const filter of before) {
      this.readers.remove(filter, device);
      const users = (this.#filters.get(filter) ?? 1) - 1;
      if (users === 0) this.#filters.delete(filter);
      else this.#filters.set(filter, users);
    }
    for (const filter of after) {
      this.readers.add(filter, device);
      this.#filters.set(filter, (this.#filters.get(filter) ?? 0) + 1);
    }
    this.#options.onFilters();
  }

  #membership(body: JsonBody): Promise<void> {
    const given = records(body["added_devices"]);
    const removed = [
      ...records(body["removed_devices"]).flatMap((entry) => this.#known(entry)),
      ...given.flatMap((entry) => this.#replacedBy(entry)),
    ];
    const waits = removed.length > 0 ? [this.#remove(removed)] : [];
    for (const device of new Set(given.flatMap((entry) => this.#known(entry)))) this.#report(device);
    return Promise.all([...waits, this.#admitAll(given)]).then(() => undefined);
  }

  /** The full list: what is not in it is no longer here. */
  #detail(body: JsonBody): Promise<void> {
    if (!Array.isArray(body["devices"])) return Promise.resolve();
    const entries = records(body["devices"]);
    const listed = new Set(entries.flatMap((entry) => this.#known(entry)));
    const gone = [...this.#options.registry.all()].filter((device) => !listed.has(device));
    const waits = gone.length > 0 ? [this.#remove(gone)] : [];
    return Promise.all([...waits, this.#admitAll(entries)]).then(() => undefined);
  }

  #admitAll(entries: readonly JsonBody[]): Promise<void> {
    const { commit } = this.#options;
    const added = entries.flatMap((entry) => this.#admit(entry));
    return commit.reply({ publish: added.length > 0 ? [this.#membershipUpdated({ added })] : [] });
  }

  /** A device given that is here already may have been elsewhere meanwhile: the cloud has the values of that time. */
  #report(device: BoundDevice): void {
    const { commit, clock } = this.#options;
    const now = clock.nowMs();
    const live = [...device.twins].filter(([, twin]) => !isDeleted(twin));
    const twins = live.map(([name, twin]) => [name, toCloud(twin)] as const);
    if (twins.length > 0) commit.reportTwins(device, now, twins);
    if (device.state !== "") reportState(commit, device, Date.parse(device.lastOnline) || now);
  }

  #known(entry: JsonBody): BoundDevice[] {
    const device = this.#options.registry.member(readMember(entry));
    return device ? [device] : [];
  }

  #replacedBy(entry: JsonBody): BoundDevice[] {
    const device = this.#options.registry.namesake(readMember(entry));
    return device ? [device] : [];
  }

  /** Whoever calls it waits for the commit. @returns the device when it is new */
  #admit(entry: JsonBody): BoundDevice[] {
    const { commit, registry } = this.#options;
    const member = readMember(entry);
    const { id, name, namespace, uid } = member;
    if (id === "" || id.length > longestId) return [];
    const known = registry.member(member);
    const device = known ?? newDevice(registry.freeId(member), name, asText(entry["description"]));
    if (!known) commit.addDevice(device);
    if (!known && namespace !== undefined) device.object = { namespace, name, uid };
    if (isRecord(entry["attributes"])) this.#setAttributes(device, entry["attributes"], true);
    if (isRecord(entry["twin"])) void this.sync(device.id, { twin: entry["twin"] });
    return known ? [] : [device];
  }

  #remove(devices: readonly BoundDevice[]): Promise<void> {
    const { commit } = this.#options;
    const taken = devices.flatMap((device) => commandChanges(commandsFor(device), []));
    for (const device of devices) {
      this.#setFilters(device, filtersOf(device.mapping), []);
      commit.removeDevice(device);
    }
    return commit.reply({ publish: [this.#membershipUpdated({ removed: devices }), ...taken] });
  }

  #attributes(id: string, body: JsonBody): Promise<void> {
    const device = this.#options.registry.find(id);
    if (!device || !isRecord(body["attributes"])) return Promise.resolve();
    const changed = this.#setAttributes(device, body["attributes"], false);
    if (changed.length === 0) return this.#options.commit.settled();
    const payload = this.#event(readEventId(body), { attributes: wireAttributes(changed) });
    return this.#options.commit.reply({
      publish: topicNames(device).map((name) => ({ topic: deviceTopic(name, "updated"), payload })),
    });
  }

  #setAttributes(device: BoundDevice, wanted: JsonBody, replace: boolean): [string, DeviceAttribute][] {
    const { commit } = this.#options;
    const changed: [string, DeviceAttribute][] = [];
    for (const [name, value] of Object.entries(wanted)) {
      const before = device.attributes.get(name);
      if (value === null && before?.optional) commit.setAttribute(device, name, undefined);
      const attribute = isRecord(value) ? readAttribute(value) : undefined;
      if (!attribute || sameAttribute(before, attribute)) continue;
      commit.setAttribute(device, name, attribute);
      changed.push([name, attribute]);
    }
    const unlisted = replace
      ? [...device.attributes.keys()].filter((name) => !Object.hasOwn(wanted, name))
      : [];
    for (const name of unlisted) commit.setAttribute(device, name, undefined);
    return changed;
  }

  #membershipUpdated(change: {
    added?: readonly BoundDevice[];
    removed?: readonly BoundDevice[];
  }): DeviceMessage {
    const describe = (device: BoundDevice): unknown => {
      const twin = liveTwins(device);
      return { ...describeDevice(device), ...(Object.keys(twin).length > 0 ? { twin } : {}) };
    };
    const payload = this.#event(randomUUID(), {
      added_devices: change.added?.map(describe) ?? null,
      removed_devices: change.removed?.map(describe) ?? null,
    });
    return { topic: `${nodePrefix}${this.#options.node}/membership/updated`, payload };
  }

  #event(eventId: string, body: object): string {
    return JSON.stringify({ event_id: eventId, timestamp: this.#options.clock.nowMs(), ...body });
  }
}

const noTypes: ReadonlyMap<string, string | undefined> = new Map();

/** Content of a message as an object: some peers send JSON inside a string. */
export function contentFields(content: unknown): JsonBody | undefined {
  if (isRecord(content)) return content;
  return typeof content === "string" ? parseJson(content) : undefined;
}

function filtersOf(mapping: DeviceMapping | undefined): readonly string[] {
  return mapping?.filters ?? [];
}

/** What is needed of a Device later on; the rest is in the tables. */
function thin(object: DeviceObject): DeviceObject {
  const { name, namespace, uid } = object.metadata;
  return {
    metadata: { ...(name ? { name } : {}), ...(namespace ? { namespace } : {}), ...(uid ? { uid } : {}) },
    ...(object.spec ? { spec: object.spec } : {}),
  };
}

function records(value: unknown): JsonBody[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
}
