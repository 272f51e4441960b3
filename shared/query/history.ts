import type { Bounds } from "./whole-numbers.ts";

/** Points a node gives at a time. */
export const mostPoints = 10_000;

/** Which part of the history of a property is wanted: times in milliseconds, and at most how many. */
export const historyBounds = {
  since: { fallback: 0, least: 0, most: Number.MAX_SAFE_INTEGER },
  until: { fallback: Number.MAX_SAFE_INTEGER, least: 0, most: Number.MAX_SAFE_INTEGER },
  limit: { fallback: 100, least: 1, most: mostPoints },
} as const satisfies Readonly<Record<string, Bounds>>;
