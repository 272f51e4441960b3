import { compareVersions, type Device } from "#shared/kube";
import type { DesiredChange, DeviceName, StoredObject } from "#shared/topics";
import type { Store } from "#edge/store";
import type { DeviceWarnings } from "#edge/device-twin/events";
import type { GroupCommit } from "#edge/device-twin/outbox";
import { parseJson } from "#edge/device-twin/twins";
import type { DeviceObjects } from "./device-objects.ts";
import type { LocalValues, LocalValuesOfDevice } from "./local-values.ts";

export interface LocalChangesParts {
  readonly objects: Pick<DeviceObjects, "known" | "renew">;
  readonly local: LocalValues;
  readonly commit: Pick<GroupCommit, "write">;
  readonly store: Pick<Store, "metas">;
  readonly warnings: Pick<DeviceWarnings, "desiredDropped">;
  /** Settles when everybody knows that the Device is another one now. */
  readonly stored: (object: StoredObject) => Promise<void>;
  /** There are values for the cloud. */
  readonly wake: () => void;
}

const type = "device";

/**
 * Desired values that are set on this node: they are in effect at once, and until the cloud has decided about them. What
 * follows in the store and in the twins is one commit.
 */
export class LocalChanges {
  readonly #parts: LocalChangesParts;

  constructor(parts: LocalChangesParts) {
    this.#parts = parts;
  }

  /** @returns false when there is no such Device, or too much of it under way. @throws UnavailableError */
  async desire({ namespace, name, uid, values }: DesiredChange): Promise<boolean> {
    const { objects, local, wake } = this.#parts;
    const place = { namespace, name };
    const object = objects.known(place);
    if (!object || object.metadata.uid !== uid || !local.set(place, object, values)) return false;
    await this.#renew(place, object);
    wake();
    return true;
  }

  /** The cloud has decided, and this is the Device with what is in effect. @throws UnavailableError */
  async settle(place: DeviceName, sent: LocalValuesOfDevice, device: Device): Promise<void> {
    const { objects, local, commit, store } = this.#parts;
    const known = objects.known(place);
    local.settle(place, sent);
    if (!known || known.metadata.uid !== device.metadata.uid) return this.#renew(place, known);
    const key = store.metas.keyOf({ ...place, type });
    if (!isOlder(device, storedDevice(store, key)))
      commit.write(({ metas }) => metas.put({ key, type, value: JSON.stringify(device) }));
    await this.#renew(place, isOlder(device, known) ? known : device);
  }

  /** The cloud will never take them: its own values are in effect again. @throws UnavailableError */
  async drop(place: DeviceName, sent: LocalValuesOfDevice, why: string): Promise<void> {
    const { objects, local, warnings } = this.#parts;
    const known = objects.known(place);
    local.settle(place, sent);
    if (known) warnings.desiredDropped(known, [...sent.values.keys()], why);
    await this.#renew(place, known);
  }

  async #renew(place: DeviceName, object: Device | undefined): Promise<void> {
    const { objects, stored } = this.#parts;
    await objects.renew(place, object);
    await stored({ ...place, type });
  }
}

function storedDevice({ metas }: Pick<Store, "metas">, key: string): Device | undefined {
  const row = metas.find(key);
  // A row of a Device, which the API made.
  return row && (parseJson(row.value) as Device | undefined);
}

function isOlder({ metadata }: Device, other: Device | undefined): boolean {
  return compareVersions(metadata.resourceVersion, other?.metadata?.resourceVersion) < 0;
}
