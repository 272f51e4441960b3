import type { Clock } from "#shared/clock";
import { commandChanges, sanitizeDevice } from "#shared/devices";
import type { Device, DeviceModel, KubeObject } from "#shared/kube";
import type { DeviceName, ObjectChange } from "#shared/topics";
import {
  commandsFor,
  newDevice,
  unsendable,
  type BoundDevice,
  type DeviceRegistry,
} from "#edge/device-twin/devices";
import type { DeviceWarnings } from "#edge/device-twin/events";
import type { Members } from "#edge/device-twin/devices/membership";
import type { DeviceMessage, GroupCommit } from "#edge/device-twin/outbox";
import { toCloudAsWanted } from "#edge/device-twin/twins";
import type { ReportCycles, TwinWriter } from "#edge/device-twin/values";
import { desiredChanges } from "./desired-changes.ts";
import type { LocalValues } from "./local-values.ts";
import { modelKey, type DeviceModels } from "./device-models.ts";
import type { PropertyMapper } from "./property-mapper.ts";

export interface DeviceObjectsParts {
  readonly registry: DeviceRegistry;
  readonly commit: GroupCommit;
  readonly writer: TwinWriter;
  readonly members: Members;
  readonly models: DeviceModels;
  readonly mapper: PropertyMapper;
  /** Desired values that were set on this node, which are in effect in place of those of the cloud. */
  readonly local: LocalValues;
  readonly warnings: Pick<DeviceWarnings, "modelChanged" | "valuesRejected">;
  readonly cycles: Pick<ReportCycles, "restored">;
  readonly clock: Pick<Clock, "nowMs">;
}

/** A Device or DeviceModel in the store of the node. */
export interface StoredObject {
  readonly type: string;
  readonly namespace: string;
  readonly name: string;
  readonly object: KubeObject;
}

/** Devices and twins that follow from Device and DeviceModel objects: bindings, mappings and desired values. */
export class DeviceObjects {
  readonly #parts: DeviceObjectsParts;
  readonly #objects = new Map<string, Device>();

  constructor(parts: DeviceObjectsParts) {
    this.#parts = parts;
  }

  /** A Device or DeviceModel was stored or removed; settles with the commit of what follows from it. */
  change({ type, namespace, name, object }: ObjectChange): Promise<void> {
    if (type === "devicemodel") return this.#changeModel(`${namespace}/${name}`, object);
    if (type !== "device") return Promise.resolve();
    return object
      ? this.#changeDevice({ namespace, name }, sanitizeDevice<Device>(object))
      : this.#removeDevice({ namespace, name });
  }

  /** At start: the stored objects, whose desired values were published before. Settles with the commit. */
  restore(objects: Iterable<StoredObject>): Promise<void> {
    const devices: { readonly place: DeviceName; readonly object: Device }[] = [];
    for (const { type, namespace, name, object } of objects) {
      if (type === "devicemodel") this.#putModel(`${namespace}/${name}`, object);
      else devices.push({ place: { namespace, name }, object: sanitizeDevice<Device>(object) });
    }
    for (const { place, object } of devices) {
      this.#setObject(place, thin(object));
      void this.#apply(place, object, { isRestored: true });
    }
    return this.#parts.commit.settled();
  }

  /** The Device as the cloud sent it last; without its status. */
  known({ namespace, name }: DeviceName): Device | undefined {
    return this.#objects.get(`${namespace}/${name}`);
  }

  /** Applies a Device again, or another version of it, after its local values have changed. Settles with the commit. */
  renew(place: DeviceName, object: Device | undefined): Promise<void> {
    return object ? this.#changeDevice(place, sanitizeDevice<Device>(object)) : this.#parts.commit.settled();
  }

  #changeDevice(place: DeviceName, object: Device): Promise<void> {
    const replaced = this.#removeReplaced(place, object);
    this.#setObject(place, thin(object));
    return Promise.all([replaced, this.#apply(place, object, { isRestored: false })]).then(() => undefined);
  }

  #removeDevice(place: DeviceName): Promise<void> {
    const { registry, members, commit } = this.#parts;
    this.#setObject(place, undefined);
    this.#parts.local.forget(place);
    const device = registry.ofObject(place.namespace, place.name);
    return device ? members.remove([device]) : commit.settled();
  }

  #setObject({ namespace, name }: DeviceName, object: Device | undefined): void {
    const key = `${namespace}/${name}`;
    const before = this.#objects.get(key);
    const put = (one: Device | undefined): unknown =>
      one ? this.#objects.set(key, one) : this.#objects.delete(key);
    put(object);
    this.#parts.commit.onRollback(() => put(before));
  }

  /** A Device of the same name with another uid is another device, which must not inherit twins or history. */
  #removeReplaced({ namespace, name }: DeviceName, { metadata }: Device): Promise<void> | undefined {
    const { registry, members } = this.#parts;
    const uid = this.#objects.get(`${namespace}/${name}`)?.metadata.uid;
    const device = registry.ofObject(namespace, name);
    const isSame = uid === undefined || metadata.uid === undefined || uid === metadata.uid;
    if (!isSame) this.#parts.local.forget({ namespace, name });
    return isSame || !device ? undefined : members.remove([device]);
  }

  #apply(place: DeviceName, sent: Device, { isRestored }: { readonly isRestored: boolean }): Promise<void> {
    const { registry, commit, writer, members, mapper, local, clock } = this.#parts;
    const object = local.over(sent);
    const { namespace, name } = place;
    const known = registry.ofObject(namespace, name);
    const device = known ?? this.#addDevice(place, object);
    const { object: objectBefore } = device;
    commit.onRollback(() => Object.assign(device, { object: objectBefore }));
    device.object = { namespace, name, uid: object.metadata.uid };
    const commandsBefore = commandsFor(device);
    mapper.map(device, object);
    const published = isRestored ? commandsFor(device) : commandsBefore;
    const nowMs = clock.nowMs();
    const changes = desiredChanges(device, object, nowMs);
    for (const { name: property, after } of changes) commit.setTwin(device, property, after);
    const lost = unsendable(device);
    if (lost.length > 0) this.#parts.warnings.valuesRejected(device.object, lost);
    // The cloud shows which desired values the node has observed.
    const observed = changes.map(({ name: property, after }) => [property, toCloudAsWanted(after)] as const);
    if (observed.length > 0) commit.reportTwins(device, nowMs, observed);
    if (isRestored) this.#parts.cycles.restored(device);
    const publish = [
      ...(known ? [] : [members.updated({ added: [device] })]),
      ...writer.messages(device, changes),
      ...commandChanges(published, commandsFor(device)),
    ];
    return commit.reply({ publish });
  }

  #addDevice({ namespace, name }: DeviceName, object: Device): BoundDevice {
    const { registry, commit } = this.#parts;
    const id = registry.freeId({ id: name, name, namespace });
    const device = newDevice(id, name, object.metadata.labels?.["description"] ?? "");
    commit.addDevice(device);
    return device;
  }

  #changeModel(key: string, model: DeviceModel | undefined): Promise<void> {
    const { registry, commit, mapper, local } = this.#parts;
    this.#putModel(key, model);
    const publish: DeviceMessage[] = [];
    for (const object of this.#objects.values()) {
      if (modelKey(object) !== key) continue;
      const { namespace = "", name = "" } = object.metadata;
      const device = registry.ofObject(namespace, name);
      if (!device) continue;
      const commandsBefore = commandsFor(device);
      mapper.map(device, local.over(object));
      publish.push(...commandChanges(commandsBefore, commandsFor(device)));
    }
    return commit.reply({ publish });
  }

  #putModel(key: string, model: DeviceModel | undefined): void {
    this.#parts.warnings.modelChanged(key);
    this.#parts.models.put(key, model);
  }
}

/** What is needed of a Device later on; the rest is in the store. */
function thin(object: Device): Device {
  const { name, namespace, uid, resourceVersion } = object.metadata;
  return {
    metadata: {
      ...(name ? { name } : {}),
      ...(namespace ? { namespace } : {}),
      ...(uid ? { uid } : {}),
      ...(resourceVersion ? { resourceVersion } : {}),
    },
    ...(object.spec ? { spec: object.spec } : {}),
  };
}
