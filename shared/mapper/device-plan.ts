import { cycleMs } from "#shared/clock";
import type { AnyValue, AnyValues } from "#shared/dmi";
import { asText, isRecord, recordOf } from "#shared/json";
import type { MapperDevice, MapperProperty, Settings, ValueType } from "./driver.ts";

/** A property with when it is read and reported, milliseconds; 0 where the Device does not say. */
export interface PlannedProperty {
  readonly property: MapperProperty;
  readonly collectMs: number;
  readonly reportMs: number;
  /** Empty: nothing is desired. */
  readonly desired: string;
}

/** What a mapper does for a device. */
export interface DevicePlan {
  readonly device: MapperDevice;
  readonly properties: readonly PlannedProperty[];
}

const types: ReadonlySet<string> = new Set(["INT", "FLOAT", "DOUBLE", "BOOLEAN", "STRING", "BYTES"]);

/** Reads the messages Device and DeviceModel of v1beta1. */
export function planDevice(device: unknown, model: unknown, anyValues: AnyValues): DevicePlan {
  const { name, namespace, spec } = recordOf(device);
  const { protocol, properties } = recordOf(spec);
  const listed = recordOf(recordOf(model)["spec"])["properties"];
  const ofModel = new Map(listOf(listed).map((one) => [asText(one["name"]), one]));
  const planned = listOf(properties).map((one): PlannedProperty => {
    const described = recordOf(ofModel.get(asText(one["name"])));
    const type = asText(described["type"]).toUpperCase();
    return {
      property: {
        name: asText(one["name"]),
        // One of the set.
        type: types.has(type) ? (type as ValueType) : "STRING",
        accessMode: described["accessMode"] === "ReadOnly" ? "ReadOnly" : "ReadWrite",
        unit: asText(described["unit"]),
        visitor: settingsOf(one["visitors"], anyValues),
      },
      collectMs: cycleMs(one["collectCycle"]) ?? 0,
      reportMs: cycleMs(one["reportCycle"]) ?? 0,
      desired: asText(recordOf(one["desired"])["value"]),
    };
  });
  return {
    device: {
      namespace: asText(namespace) || "default",
      name: asText(name),
      config: settingsOf(protocol, anyValues),
      properties: planned.map(({ property }) => property),
    },
    properties: planned,
  };
}

/** `<namespace>/<name>` of the model of a device. */
export function modelKeyOf(device: unknown): string {
  const { namespace, spec } = recordOf(device);
  return `${asText(namespace) || "default"}/${asText(recordOf(spec)["deviceModelReference"])}`;
}

export function keyOfMessage(message: unknown): string {
  const { namespace, name } = recordOf(message);
  return `${asText(namespace) || "default"}/${asText(name)}`;
}

export function listOf(value: unknown): Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
}

function settingsOf(config: unknown, anyValues: AnyValues): Settings {
  const data = recordOf(recordOf(recordOf(config)["configData"])["data"]);
  const read = Object.entries(data).map(([name, value]) => [
    name,
    isAny(value) ? anyValues.decode(value) : undefined,
  ]);
  return Object.fromEntries(read);
}

function isAny(value: unknown): value is AnyValue {
  return isRecord(value) && typeof value["typeUrl"] === "string" && value["value"] instanceof Uint8Array;
}
