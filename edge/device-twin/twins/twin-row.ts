import type { TwinRow } from "#edge/store";
import type { Twin, TwinSide } from "./twin.ts";
import { versionOf } from "./wire-twin.ts";

/** A twin as a row of the store. */
export function twinToRow(deviceId: string, name: string, twin: Twin): TwinRow {
  const { expected, actual } = twin;
  return {
    deviceId,
    name,
    expected: expected?.value ?? null,
    actual: actual?.value ?? null,
    expectedMeta: metaText(expected),
    actualMeta: metaText(actual),
    expectedVersion: expected ? JSON.stringify(versionOf(expected)) : null,
    actualVersion: actual ? JSON.stringify(versionOf(actual)) : null,
    optional: Number(twin.optional),
    type: twin.type,
    desired: twin.desired ?? null,
  };
}

export function twinFromRow(row: TwinRow): Twin {
  return {
    expected: readSide(row.expected, row.expectedMeta, row.expectedVersion),
    actual: readSide(row.actual, row.actualMeta, row.actualVersion),
    optional: row.optional !== 0,
    type: row.type ?? "string",
    desired: row.desired ?? undefined,
  };
}

function metaText(side: TwinSide | undefined): string | null {
  return side?.timestamp === undefined ? null : `{"timestamp":${side.timestamp}}`;
}

function readSide(value: string | null, meta: string | null, versions: string | null): TwinSide | undefined {
  if (value === null) return undefined;
  return {
    value,
    timestamp: readNumber(meta, "timestamp"),
    cloud: readNumber(versions, "cloud") ?? 0,
    edge: readNumber(versions, "edge") ?? 0,
  };
}

/** A number in a flat JSON object that this program wrote; cheaper than parsing tens of thousands of them at start. */
function readNumber(text: string | null, name: string): number | undefined {
  const index = text?.indexOf(`"${name}":`) ?? -1;
  if (text === null || index < 0) return undefined;
  const number = Number.parseInt(text.slice(index + name.length + 3).trimStart(), 10);
  return Number.isNaN(number) ? undefined : number;
}
