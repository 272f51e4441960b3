import { isDeletedTwin, type Twin, type TwinSide } from "./twin.ts";

/** Twins as messages have them: the JSON of KubeEdge's `dttype`. */
export interface WireSide {
  readonly value: string;
  readonly metadata?: { readonly timestamp: number };
}

export interface WireTwin {
  readonly expected?: WireSide;
  readonly actual?: WireSide;
  readonly optional: boolean;
  readonly metadata: { readonly type: string };
  readonly expected_version?: WireVersion;
  readonly actual_version?: WireVersion;
}

export interface WireVersion {
  readonly cloud: number;
  readonly edge: number;
}

/** A twin for MQTT topics: without versions. */
export function toWire(twin: Twin): WireTwin {
  return {
    ...(twin.expected ? { expected: wireSide(twin.expected) } : {}),
    ...(twin.actual ? { actual: wireSide(twin.actual) } : {}),
    optional: twin.optional,
    metadata: { type: twin.type },
  };
}

/** A twin for the cloud: with the versions of its sides. */
export function toCloud(twin: Twin): WireTwin {
  return {
    ...toWire(twin),
    ...(twin.expected ? { expected_version: versionOf(twin.expected) } : {}),
    ...(twin.actual ? { actual_version: versionOf(twin.actual) } : {}),
  };
}

/** As `toCloud`, for a change of a desired value: a twin deleted with it must not delete what another node reported. */
export function toCloudAsWanted(twin: Twin): WireTwin {
  return isDeletedTwin(twin) ? { optional: twin.optional, metadata: { type: "string" } } : toCloud(twin);
}

/** Entries in the order of their names, in which Go marshals maps. */
export function sorted<T>(entries: Iterable<readonly [string, T]>): [string, T][] {
  return [...entries]
    .map(([name, value]): [string, T] => [name, value])
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
}

function wireSide(side: TwinSide): WireSide {
  return {
    value: side.value,
    ...(side.timestamp === undefined ? {} : { metadata: { timestamp: side.timestamp } }),
  };
}

export function versionOf(side: TwinSide): WireVersion {
  return { cloud: side.cloud, edge: side.edge };
}
