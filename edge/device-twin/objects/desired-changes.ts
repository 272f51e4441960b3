import type { Device } from "#shared/kube";
import type { BoundDevice } from "#edge/device-twin/devices";
import { applyDesired, type TwinChange } from "#edge/device-twin/twins";

/**
 * The changes of twins that follow from the desired values of a Device, also from those that it no longer has. The
 * cloud's version of a twin is the `resourceVersion` of the Device.
 */
export function desiredChanges(device: BoundDevice, object: Device, nowMs: number): TwinChange[] {
  const cloud = Number.parseInt(object.metadata.resourceVersion ?? "0", 10) || 0;
  const desired = desiredValues(object);
  const desiredBefore = [...device.twins].flatMap(([name, twin]) =>
    twin.desired === undefined ? [] : [name],
  );
  return [...new Set([...desired.keys(), ...desiredBefore])].flatMap((name): TwinChange[] => {
    const value = desired.get(name);
    const before = device.twins.get(name);
    const after = applyDesired(before, value === undefined ? undefined : { value, cloud }, {
      nowMs,
      type: device.listed?.modelTypes.get(name),
    });
    return after ? [{ name, before, after }] : [];
  });
}

/** Only texts: the API of a cluster may hold other values. An empty one is no desired value. */
function desiredValues({ spec }: Device): ReadonlyMap<string, string> {
  const entries = (spec?.properties ?? []).flatMap(({ name, desired }) =>
    typeof desired?.value === "string" && desired.value !== "" ? [[name, desired.value] as const] : [],
  );
  return new Map(entries);
}
