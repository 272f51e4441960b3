import {
  given,
  type Callable,
  type Budget,
  calculate,
  excerpt,
  order,
  entriesOf,
  isEqual,
  isList,
  member,
  NoValue,
  RenderError,
  textOf,
  type Value,
} from "#shared/jinja/values";

/** Filters of lists. */
export const listFilters: Readonly<Partial<Record<string, Callable>>> = {
  first: (input, _, budget) => listOf(input, budget)[0],
  last: (input, _, budget) => listOf(input, budget).at(-1),
  list: (input, _, budget) => listOf(input, budget),
  length: (input, _, budget) => lengthOf(input, budget),
  count: (input, _, budget) => lengthOf(input, budget),
  join: (input, args, budget) => {
    const texts = listOf(input, budget).map(textOf);
    const between = textOf(given(args, 0, "d") ?? "");
    budget.text(texts.reduce((sum, text) => sum + text.length + between.length, 0));
    return texts.join(between);
  },
  min: (input, args, budget) => best([input, ...args.list], budget, -1),
  max: (input, args, budget) => best([input, ...args.list], budget, 1),
  sum: (input, _, budget) => listOf(input, budget).reduce<Value>((sum, one) => calculate("+", sum, one), 0n),
  average: (input, _, budget) => {
    const list = listOf(input, budget);
    const sum = list.reduce<Value>((total, one) => calculate("+", total, one), 0n);
    return calculate("/", sum, BigInt(list.length));
  },
  reverse: (input, _, budget) => listOf(input, budget).toReversed(),
  sort: (input, args, budget) => {
    const sorted = listOf(input, budget).toSorted(order);
    return given(args, 0, "reverse") === true ? sorted.toReversed() : sorted;
  },
  unique: (input, _, budget) => {
    const list = listOf(input, budget);
    budget.charge(list.length * list.length);
    return list.filter((one, index) => list.findIndex((other) => isEqual(one, other)) === index);
  },
  map: (input, args, budget) => {
    const attribute = args.named.get("attribute");
    if (attribute === undefined) throw new RenderError("map needs an attribute");
    return listOf(input, budget).map((one) => member(one, attribute));
  },
  zip: (input, args, budget) => {
    const lists = [input, ...args.list].map((one) => listOf(one, budget));
    const length = Math.min(...lists.map((list) => list.length));
    return budget.weigh(Array.from({ length }, (_, index) => lists.map((list) => list[index])));
  },
};

/** The entries of a list, the letters of a text, the keys of a mapping. */
export function listOf(value: Value, budget: Budget): readonly Value[] {
  if (value === undefined) throw new NoValue("no list");
  if (isList(value)) {
    budget.list(value.length);
    return value;
  }
  if (typeof value === "string") {
    budget.list(value.length);
    return Array.from(value);
  }
  const entries = entriesOf(value);
  if (!entries) throw new RenderError(`needs a list, got ${excerpt(value)}`);
  budget.list(entries.length);
  return entries.map(([key]) => key);
}

function lengthOf(value: Value, budget: Budget): bigint {
  if (typeof value === "string") return BigInt(Array.from(value).length);
  return BigInt(listOf(value, budget).length);
}

function best(given: readonly Value[], budget: Budget, sign: number): Value {
  const list = given.length === 1 ? listOf(given[0], budget) : given;
  return list.reduce((most, one) => (order(one, most) * sign > 0 ? one : most), list[0]);
}
