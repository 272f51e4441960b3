import { cycleMs } from "#shared/clock";
import { twinTypeOf, type ConfigLayer, type MappingProblem } from "#shared/devices";
import { nearest } from "#shared/errors";
import type { Device, DeviceModel, DeviceProperty, ModelProperty } from "#shared/kube";
import type { Driver, Point, PropertyKind } from "#edge/drivers/driver";
import { ConfigFields } from "#edge/drivers/config";

/** Default of KubeEdge's mapper framework. */
const defaultCycleMs = 1000;
/** Below it a device would be asked without a pause. */
const shortestCycleMs = 50;

/** A property as the driver is to handle it. */
export interface PlannedPoint<Place> extends Point<Place> {
  /** Milliseconds between two readings. */
  readonly cycleMs: number;
  readonly isWritable: boolean;
  /** undefined: nothing is desired */
  readonly desired: string | undefined;
}

/** What a Device asks of its driver. */
export interface DevicePlan<Connection, Place> {
  readonly connection: Connection;
  readonly points: readonly PlannedPoint<Place>[];
}

export interface PlanOutcome<Connection, Place> {
  /** undefined: the device cannot be reached as it is written */
  readonly plan: DevicePlan<Connection, Place> | undefined;
  readonly problems: readonly MappingProblem[];
}

/** Reads a Device of the driver's protocol with its model. A property that cannot be used is left out. */
export function planDevice<Connection, Place>(
  driver: Driver<Connection, Place>,
  device: Device,
  model: DeviceModel | undefined,
): PlanOutcome<Connection, Place> {
  const problems: MappingProblem[] = [];
  const layer: ConfigLayer = {
    kind: "Device",
    path: "spec.protocol.configData",
    config: device.spec?.protocol?.configData ?? {},
  };
  const fields = new ConfigFields([layer]);
  const connection = driver.connection(fields);
  problems.push(...fields.problems, ...misspelled([layer], driver.connectionKeys));
  const points: PlannedPoint<Place>[] = [];
  for (const described of propertiesOf(device, model)) {
    const own = new ConfigFields(described.layers);
    const point = planPoint(driver, described, own);
    problems.push(...own.problems, ...misspelled(described.layers, driver.placeKeys));
    if (point) points.push(point);
  }
  return { plan: connection === undefined ? undefined : { connection, points }, problems };
}

interface Described {
  readonly device: DeviceProperty | undefined;
  readonly model: ModelProperty | undefined;
  readonly layers: readonly ConfigLayer[];
}

/** The properties of the Device, and those only its model has when that says where they are. */
function propertiesOf(device: Device, model: DeviceModel | undefined): Described[] {
  const rest = new Map(
    model?.spec?.properties?.map((property, index) => [property.name, { property, index }]),
  );
  const listed = (device.spec?.properties ?? []).map((property, index): Described => {
    const described = rest.get(property.name);
    rest.delete(property.name);
    const own = layerOf("Device", index, property.visitors?.configData);
    const shared =
      described && layerOf("DeviceModel", described.index, described.property.visitors?.configData);
    return { device: property, model: described?.property, layers: shared ? [own, shared] : [own] };
  });
  const only = [...rest.values()]
    .filter(({ property }) => property.visitors?.configData !== undefined)
    .map(({ property, index }): Described => ({
      device: undefined,
      model: property,
      layers: [layerOf("DeviceModel", index, property.visitors?.configData)],
    }));
  return [...listed, ...only];
}

function layerOf(
  kind: ConfigLayer["kind"],
  index: number,
  config: Readonly<Record<string, unknown>> = {},
): ConfigLayer {
  return { kind, path: `spec.properties[${index}].visitors.configData`, config };
}

function planPoint<Connection, Place>(
  driver: Driver<Connection, Place>,
  { device, model, layers }: Described,
  fields: ConfigFields,
): PlannedPoint<Place> | undefined {
  if (layers.every(({ config }) => Object.keys(config).length === 0)) return undefined;
  const property = kindOf(device?.name ?? model?.name ?? "", model);
  const place = driver.place(fields, property);
  if (place === undefined) return undefined;
  return {
    property,
    place,
    cycleMs: Math.max(cycleMs(device?.collectCycle) ?? defaultCycleMs, shortestCycleMs),
    isWritable: model?.accessMode !== "ReadOnly",
    desired: device?.desired?.value || undefined,
  };
}

function kindOf(name: string, model: ModelProperty | undefined): PropertyKind {
  return {
    name,
    type: twinTypeOf(model) ?? "string",
    isBinary: model?.type === "BYTES",
    isSigned: Number(model?.minimum ?? 0) < 0,
  };
}

function misspelled(layers: readonly ConfigLayer[], known: readonly string[]): MappingProblem[] {
  return layers.flatMap(({ kind, path, config }) =>
    Object.keys(config).flatMap((key) => {
      const meant = known.includes(key) ? undefined : nearest(key, known);
      if (meant === undefined) return [];
      const problem = `unknown key, did you mean ${JSON.stringify(meant)}?`;
      return [{ kind, field: `${path}.${key}`, value: config[key] ?? null, problem }];
    }),
  );
}
