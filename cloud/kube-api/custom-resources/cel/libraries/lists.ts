import type { Environment } from "@marcbachmann/cel-js";

type Comparable = bigint | number | string;

/** Lists and sets. */
export function addLists(environment: Environment): void {
  const zero = 0n;
  const add = (a: Comparable, b: Comparable): Comparable =>
    typeof a === "bigint" && typeof b === "bigint" ? a + b : Number(a) + Number(b);
  const pick = (list: Comparable[], better: (a: Comparable, b: Comparable) => boolean): Comparable => {
    const [first, ...rest] = list;
    if (first === undefined) throw new Error("min or max called on an empty list");
    return rest.reduce((best, one) => (better(one, best) ? one : best), first);
  };
  environment
    .registerFunction("list.sum(): dyn", (list: Comparable[]) => list.reduce(add, zero))
    .registerFunction("list.min(): dyn", (list: Comparable[]) => pick(list, (a, b) => a < b))
    .registerFunction("list.max(): dyn", (list: Comparable[]) => pick(list, (a, b) => a > b))
    .registerFunction("list.isSorted(): bool", (list: Comparable[]) =>
      list.every((one, index) => index === 0 || (list[index - 1] ?? one) <= one),
    )
    .registerFunction("list.indexOf(dyn): int", (list: unknown[], one: unknown) =>
      BigInt(list.findIndex((item) => Bun.deepEquals(item, one))),
    )
    .registerFunction("list.lastIndexOf(dyn): int", (list: unknown[], one: unknown) =>
      BigInt(list.findLastIndex((item) => Bun.deepEquals(item, one))),
    );
  addSets(environment);
}

class CelSets {
  readonly library = "sets";
}

/** Items of a set as texts: comparing each with each would take the square of their number. */
function keysOf(list: unknown[]): Set<string> {
  return new Set(list.map((item) => keyOf(item)));
}

function keyOf(item: unknown): string {
  return typeof item === "bigint" ? String(item) : (JSON.stringify(item, bigText) ?? "null");
}

function bigText(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? Number(value) : value;
}

function addSets(environment: Environment): void {
  const contains = (all: unknown[], some: unknown[]): boolean => keysOf(some).isSubsetOf(keysOf(all));
  environment
    .registerType("Sets", CelSets)
    .registerConstant("sets", "Sets", new CelSets())
    .registerFunction("Sets.contains(list, list): bool", (_sets: CelSets, all: unknown[], some: unknown[]) =>
      contains(all, some),
    )
    .registerFunction(
      "Sets.equivalent(list, list): bool",
      (_sets: CelSets, a: unknown[], b: unknown[]) => contains(a, b) && contains(b, a),
    )
    .registerFunction(
      "Sets.intersects(list, list): bool",
      (_sets: CelSets, a: unknown[], b: unknown[]) => !keysOf(a).isDisjointFrom(keysOf(b)),
    );
}
