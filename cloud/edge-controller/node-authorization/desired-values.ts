import { isRecord, recordOf } from "#shared/json";
import type { Desired, LocalDesiredValue, LocalDesiredValues } from "#shared/topics";

/** A Device has a few dozen properties. */
const mostValues = 1000;
const mostBases = 32;

/** Reads desired values as a node sent them; undefined when they cannot be read. */
export function readDesiredValues(content: unknown): LocalDesiredValues | undefined {
  const { uid, sentMs, values } = recordOf(content);
  if (typeof uid !== "string" || uid === "" || !isTime(sentMs) || !Array.isArray(values)) return undefined;
  if (values.length > mostValues) return undefined;
  const read = values.map(readValue);
  return read.every((one) => one !== undefined) ? { uid, sentMs, values: read } : undefined;
}

function readValue(sent: unknown): LocalDesiredValue | undefined {
  if (!isRecord(sent)) return undefined;
  const { property, value, bases, ageMs, isByClock } = sent;
  if (typeof property !== "string" || !isDesired(value) || !isTime(ageMs)) return undefined;
  if (!Array.isArray(bases) || bases.length > mostBases || !bases.every(isDesired)) return undefined;
  return { property, value, bases, ageMs, isByClock: isByClock !== false };
}

function isDesired(value: unknown): value is Desired {
  return value === null || (typeof value === "string" && value !== "");
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}
