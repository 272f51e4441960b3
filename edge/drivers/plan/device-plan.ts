import { cycleMs } from "#shared/clock";
import { twinTypeOf, type MappingProblem } from "#shared/devices";
import { describeProperties, protocolLayer, type DescribedProperty } from "#shared/devices/config";
import type { Device, DeviceModel, ModelProperty } from "#shared/kube";
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
  const fields = new ConfigFields([protocolLayer(device)]);
  const connection = driver.connection(fields);
  fields.misspelled(driver.connectionKeys);
  const problems = [...fields.problems];
  const points: PlannedPoint<Place>[] = [];
  for (const described of describeProperties(device, model, () => true)) {
    const own = new ConfigFields(described.layers);
    const point = planPoint(driver, described, own);
    own.misspelled(driver.placeKeys);
    problems.push(...own.problems);
    if (point) points.push(point);
  }
  return { plan: connection === undefined ? undefined : { connection, points }, problems };
}

function planPoint<Connection, Place>(
  driver: Driver<Connection, Place>,
  { name, device, described, layers }: DescribedProperty,
  fields: ConfigFields,
): PlannedPoint<Place> | undefined {
  if (layers.every(({ config }) => Object.keys(config).length === 0)) return undefined;
  const property = kindOf(name, described);
  const place = driver.place(fields, property);
  if (place === undefined) return undefined;
  return {
    property,
    place,
    cycleMs: Math.max(cycleMs(device?.collectCycle) ?? defaultCycleMs, shortestCycleMs),
    isWritable: described?.accessMode !== "ReadOnly",
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
