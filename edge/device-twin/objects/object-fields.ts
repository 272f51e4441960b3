import type { Device as DeviceObject } from "#shared/kube";
import { asText, isRecord } from "#shared/json";
import type { JsonBody } from "#shared/topics";
import type { DeviceAttribute, BoundDevice } from "#edge/device-twin/devices";
import { applyDesired, type TwinChange } from "#edge/device-twin/twins";

/** What a Device object asks for that it did not ask for before, and what it asks for no longer. */
export function desiredChanges(device: BoundDevice, object: DeviceObject, nowMs: number): TwinChange[] {
  const cloud = Number.parseInt(object.metadata.resourceVersion ?? "0", 10) || 0;
  const wanted = new Map(
    (object.spec?.properties ?? []).flatMap(({ name, desired }) =>
      typeof desired?.value === "string" && desired.value !== "" ? [[name, desired.value] as const] : [],
    ),
  );
  const asked = [...device.twins].flatMap(([name, { desired }]) => (desired === undefined ? [] : [name]));
  return [...new Set([...wanted.keys(), ...asked])].flatMap((name): TwinChange[] => {
    const value = wanted.get(name);
    const before = device.twins.get(name);
    const from = { nowMs, type: device.own?.types.get(name) };
    const after = applyDesired(before, value === undefined ? undefined : { value, cloud }, from);
    return after ? [{ name, before, after }] : [];
  });
}

export function readAttribute(value: JsonBody): DeviceAttribute {
  const metadata = isRecord(value["metadata"]) ? value["metadata"] : {};
  return {
    value: asText(value["value"]),
    optional: value["optional"] !== false,
    type: asText(metadata["type"]) || "string",
  };
}

export function sameAttribute(a: DeviceAttribute | undefined, b: DeviceAttribute): boolean {
  return a !== undefined && a.value === b.value && a.optional === b.optional && a.type === b.type;
}
