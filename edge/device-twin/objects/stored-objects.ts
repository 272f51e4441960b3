import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import { isRecord } from "#shared/json";
import type { KubeObject } from "#shared/kube";
import type { Logger } from "#shared/log";
import type { JsonBody } from "#shared/topics";
import type { Store } from "#edge/store";
import { parseJson } from "#edge/device-twin/twins";
import type { DeviceObjects, StoredObject } from "./device-objects.ts";

export interface RestoreParts {
  readonly store: Pick<Store, "metas">;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A full disk is freed by people or by the next fold of the outbox: seconds are soon enough. */
const restoreAgainMs = 5000;

/**
 * Applies the stored Devices and DeviceModels, and tries again while the disk is full: that delays the devices, but not
 * the start of the node.
 * @returns what ends the retries
 */
export async function restoreObjects(
  objects: Pick<DeviceObjects, "restore">,
  { store, clock, log }: RestoreParts,
): Promise<Disposable> {
  let timer: Disposable | undefined;
  const attempt = async (): Promise<void> => {
    try {
      await objects.restore(storedObjects(store, log));
    } catch (error) {
      log.error("devices cannot be restored, retrying", { error: describeError(error) });
      timer = clock.after(restoreAgainMs, () => void attempt());
    }
  };
  await attempt();
  return { [Symbol.dispose]: () => timer?.[Symbol.dispose]() };
}

/** Models first: the mapping of a device needs its model. */
function* storedObjects({ metas }: Pick<Store, "metas">, log: Logger): Generator<StoredObject> {
  for (const type of ["devicemodel", "device"]) {
    for (const { key, value } of metas.listByType(type)) {
      const path = metas.nameOf(key);
      const object = parseJson(value);
      if (path && object && isKubeObject(object))
        yield { type, namespace: path.namespace, name: path.name, object };
      else log.warn("stored device object cannot be read", { key });
    }
  }
}

function isKubeObject(value: JsonBody): value is JsonBody & KubeObject {
  return isRecord(value["metadata"]);
}
