export interface HistoryPoint {
  /** milliseconds since 1970 */
  readonly at: number;
  readonly value: string;
}

/** The entries of a block's JSON array, `[<milliseconds after base>, "<value>"]` each. */
export function writePoints(points: readonly HistoryPoint[], base: number): string {
  return points.map(({ at, value }) => `[${at - base},${JSON.stringify(value)}]`).join(",");
}

export function readPoints({ base, data }: { readonly base: number; readonly data: string }): HistoryPoint[] {
  // Written by `writePoints` or by the migration of the schema.
  const entries = JSON.parse(data) as readonly (readonly [number, string])[];
  return entries.map(([after, value]) => ({ at: base + after, value }));
}
