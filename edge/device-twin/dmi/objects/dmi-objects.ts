import { createHash } from "node:crypto";
import { isRecord, tryJson } from "#shared/json";
import { contentDigest, type Device, type DeviceModel, type KubeObject } from "#shared/kube";
import type { DeviceName, StoredObject } from "#shared/topics";
import type { Store } from "#edge/store";
import type { DeviceOfModel } from "#edge/device-twin/dmi/conversion";

export interface DmiObjectsParts {
  readonly metas: Store["metas"];
  /** The Device as this node has it: with desired values that were set here. */
  readonly show: (device: Device) => Device;
}

interface IndexedDevice {
  readonly protocol: string;
  readonly model: string;
  readonly digest: string;
}

/** What a mapper is to have, as it is now: by key, a digest that changes with it. */
export interface WantedByMapper {
  readonly devices: ReadonlyMap<string, string>;
  readonly models: ReadonlyMap<string, string>;
}

/** Keys that a change of an object is about. */
export interface ChangedKeys {
  readonly devices: readonly string[];
  readonly models: readonly string[];
}

/**
 * The Devices and DeviceModels in the store, by `<namespace>/<name>`: which protocol they speak, and digests. The objects themselves
 * stay in the store. What a mapper reports is no change.
 */
export class DmiObjects {
  readonly #parts: DmiObjectsParts;
  readonly #devices = new Map<string, IndexedDevice>();
  readonly #models = new Map<string, string>();

  constructor(parts: DmiObjectsParts) {
    this.#parts = parts;
    for (const type of ["devicemodel", "device"])
      for (const key of parts.metas.keysByType(type)) {
        const name = parts.metas.nameOf(key);
        if (name) this.#index(type, `${name.namespace}/${name.name}`);
      }
  }

  /** Takes over a row that changed or was removed. @returns what a mapper may have to know; undefined: nothing of devices */
  changed({ type, namespace, name }: StoredObject): ChangedKeys | undefined {
    if (type !== "device" && type !== "devicemodel") return undefined;
    const key = `${namespace}/${name}`;
    const before = this.#devices.get(key)?.model;
    this.#index(type, key);
    if (type === "device") {
      const models = [before, this.#devices.get(key)?.model].filter((model) => model !== undefined);
      return { devices: [key], models };
    }
    const users = [...this.#devices].filter(([, { model }]) => model === key).map(([user]) => user);
    return { devices: users, models: [key] };
  }

  wantedBy(protocol: string): WantedByMapper {
    const keys = [...this.#devices].filter(([, device]) => device.protocol === protocol).map(([key]) => key);
    const models = new Set(keys.map((key) => this.#devices.get(key)?.model ?? ""));
    return {
      devices: new Map(keys.map((key) => [key, this.deviceDigest(key, protocol) ?? ""])),
      models: new Map([...models].flatMap((key) => [[key, this.#models.get(key) ?? ""] as const])),
    };
  }

  /** Of the device with its model; undefined when it is not there or speaks another protocol. */
  deviceDigest(key: string, protocol: string): string | undefined {
    const device = this.#devices.get(key);
    return device?.protocol === protocol
      ? `${device.digest}.${this.#models.get(device.model) ?? ""}`
      : undefined;
  }

  /** Undefined when the model is not there, or when no device of the protocol uses it. */
  modelDigest(key: string, protocol: string): string | undefined {
    const isUsed = [...this.#devices.values()].some((one) => one.protocol === protocol && one.model === key);
    return isUsed ? this.#models.get(key) : undefined;
  }

  device(key: string): DeviceOfModel | undefined {
    const device = this.#read("device", key);
    const model = this.#devices.get(key)?.model;
    return device && { device: this.#parts.show(device), model: model ? this.model(model) : undefined };
  }

  model(key: string): DeviceModel | undefined {
    return this.#read("devicemodel", key);
  }

  /** The keys of Devices of a name, in any namespace. */
  named(name: string): string[] {
    return [...this.#devices.keys()].filter((key) => key.slice(key.indexOf("/") + 1) === name);
  }

  has(key: string): boolean {
    return this.#devices.has(key);
  }

  #index(type: string, key: string): void {
    if (type === "devicemodel") {
      const model = this.model(key);
      if (model) this.#models.set(key, contentDigest(model));
      else this.#models.delete(key);
      return;
    }
    const device = this.#read("device", key);
    if (!device) {
      this.#devices.delete(key);
      return;
    }
    const shown = this.#parts.show(device);
    const model = shown.spec?.deviceModelRef?.name;
    this.#devices.set(key, {
      protocol: shown.spec?.protocol?.protocolName ?? "",
      model: model ? `${placeOf(key).namespace}/${model}` : "",
      digest: createHash("sha256")
        .update(JSON.stringify(shown.spec ?? {}))
        .digest("base64url")
        .slice(0, 22),
    });
  }

  #read(type: "devicemodel", key: string): DeviceModel | undefined;
  #read(type: "device", key: string): Device | undefined;
  #read(type: string, key: string): KubeObject | undefined {
    const { metas } = this.#parts;
    const row = metas.find(metas.keyOf({ ...placeOf(key), type }));
    const object = row && tryJson(row.value);
    // What the cloud sent of this type; fields are read with defaults.
    return isRecord(object) && isRecord(object["metadata"]) ? (object as unknown as KubeObject) : undefined;
  }
}

export function placeOf(key: string): DeviceName {
  const slash = key.indexOf("/");
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
