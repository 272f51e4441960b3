/** Characters of a text, and items of a list, that expressions may make: as large as a request. */
const mostSize = 4 * 1024 * 1024;

export const outOfSteps = "operation cancelled: actual cost limit exceeded";

/** @throws Error for what would be too large, before it is made */
export function checkSize(size: number): void {
  if (size > mostSize) throw new Error(outOfSteps);
}

/** Characters and items of a value, at any depth; counted no further than `most`. */
export function celSize(value: unknown, most = Infinity): number {
  if (typeof value === "string") return value.length;
  if (typeof value !== "object" || value === null) return 1;
  let size = 1;
  for (const item of Array.isArray(value) ? value : Object.values(value)) {
    size += celSize(item, most - size);
    if (size > most) break;
  }
  return size;
}
