import {
  given,
  type Callable,
  type Given,
  type Budget,
  excerpt,
  toInt,
  Dict,
  entriesOf,
  isList,
  NoValue,
  RenderError,
  textOf,
  type Value,
} from "#shared/jinja/values";

type Table = Readonly<Partial<Record<string, Callable>>>;

/** Filters of texts. */
export const textFilters: Table = {
  string: (input) => needDefined(input),
  lower: (input, _, budget) => change(input, budget, (text) => text.toLowerCase()),
  upper: (input, _, budget) => change(input, budget, (text) => text.toUpperCase()),
  trim: (input, args, budget) => strip("both")(needDefined(input), args, budget),
  title: (input, _, budget) => change(input, budget, titleOf),
  capitalize: (input, _, budget) =>
    change(input, budget, (text) => text.slice(0, 1).toUpperCase() + text.slice(1).toLowerCase()),
  replace: (input, args, budget) => replace(needDefined(input), args, budget),
  base64_decode: (input) => Buffer.from(needDefined(input), "base64").toString("utf8"),
  base64_encode: (input) => Buffer.from(needDefined(input), "utf8").toString("base64"),
};

/** Methods of texts: `value.split(",")`. */
export const textMethods: Table = Object.assign(Object.create(null) as object, {
  lower: textFilters["lower"],
  upper: textFilters["upper"],
  title: textFilters["title"],
  capitalize: textFilters["capitalize"],
  replace: textFilters["replace"],
  strip: strip("both"),
  lstrip: strip("start"),
  rstrip: strip("end"),
  split: (input: Value, args: Given, budget: Budget) => {
    const text = needDefined(input);
    const separator = given(args, 0, "sep") ?? null;
    if (separator === "") throw new RenderError("split needs a separator");
    if (given(args, 1, "maxsplit") !== undefined) throw new RenderError("split knows no maxsplit");
    const parts = separator === null ? text.trim().split(/\s+/) : text.split(textOf(separator));
    budget.list(parts.length);
    return parts;
  },
  startswith: (input: Value, args: Given) => needDefined(input).startsWith(textOf(args.list[0])),
  endswith: (input: Value, args: Given) => needDefined(input).endsWith(textOf(args.list[0])),
  find: (input: Value, args: Given) => BigInt(needDefined(input).indexOf(textOf(args.list[0]))),
  isdigit: (input: Value) => /^\d+$/.test(needDefined(input)),
  zfill: (input: Value, args: Given, budget: Budget) => {
    const width = Number(toInt(args.list[0]) ?? 0n);
    budget.text(width);
    return needDefined(input).padStart(width, "0");
  },
  join: (input: Value, args: Given, budget: Budget) => {
    const [list] = args.list;
    if (!isList(list)) throw new RenderError(`join needs a list, got ${excerpt(list)}`);
    budget.text(list.reduce<number>((sum, one) => sum + textOf(one).length + needDefined(input).length, 0));
    return list.map(textOf).join(needDefined(input));
  },
} satisfies Record<string, Callable | undefined>);

/** Methods of mappings. */
export const mappingMethods: Table = Object.assign(Object.create(null) as object, {
  get: (input: Value, args: Given) => {
    const entries = new Dict(entriesOf(input) ?? []);
    const found = entries.entries.size > 0 ? lookUp(entries, args.list[0]) : undefined;
    return found ?? args.list[1] ?? null;
  },
  items: (input: Value) => (entriesOf(input) ?? []).map(([key, value]) => [key, value]),
  keys: (input: Value) => (entriesOf(input) ?? []).map(([key]) => key),
  values: (input: Value) => (entriesOf(input) ?? []).map(([, value]) => value),
} satisfies Record<string, Callable>);

function lookUp(dict: Dict, key: Value): Value {
  const single = new Dict([[key, null]]);
  const [name] = single.entries.keys();
  return name === undefined ? undefined : dict.entries.get(name)?.[1];
}

function change(input: Value, budget: Budget, how: (text: string) => string): string {
  const text = needDefined(input);
  budget.text(text.length);
  return how(text);
}

function needDefined(value: Value): string {
  if (value === undefined) throw new NoValue("no text");
  return textOf(value);
}

function strip(side: "start" | "end" | "both"): Callable {
  return (input, args, budget) => {
    const text = needDefined(input);
    budget.text(text.length);
    const letters = given(args, 0, "chars");
    const isStripped = (letter: string): boolean =>
      letters === undefined || letters === null ? /\s/.test(letter) : textOf(letters).includes(letter);
    const letterList = text.split("");
    const first = side === "end" ? 0 : letterList.findIndex((letter) => !isStripped(letter));
    const last =
      side === "start" ? text.length - 1 : letterList.findLastIndex((letter) => !isStripped(letter));
    return first < 0 ? "" : text.slice(first, last + 1);
  };
}

function replace(text: string, args: Given, budget: Budget): string {
  const [old, fresh, count] = [given(args, 0, "old"), given(args, 1, "new"), given(args, 2, "count")];
  if (old === undefined || fresh === undefined) throw new RenderError("replace needs two texts");
  if (count !== undefined) throw new RenderError("replace knows no count");
  const [search, replacement] = [textOf(old), textOf(fresh)];
  const pieces = text.split(search);
  budget.text(text.length + pieces.length * replacement.length);
  return search === "" ? text : pieces.join(replacement);
}

function titleOf(text: string): string {
  return text.toLowerCase().replaceAll(/[a-z]+/g, (word) => word.slice(0, 1).toUpperCase() + word.slice(1));
}
