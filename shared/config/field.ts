import * as z from "zod/mini";

/** One setting of a file: its meaning, its default and how a value is checked. */
export interface Field<T> {
  readonly kind: "field";
  readonly doc: string;
  readonly fallback: T;
  /** As in `expected 0, 1 or 2`. */
  readonly expected: string;
  readonly schema: z.ZodMiniType<T>;
  /** Its value is never shown in an error. */
  readonly secret: boolean;
  /** Other spellings of a value, e.g. `internalMqttMode` for 0. */
  readonly aliases: Readonly<Record<string, T>>;
  /** What stands in the value, for a list or names with values. */
  readonly entry: Entry | undefined;
}

/** One entry of a list. */
interface Entry {
  /** As `Field.expected`, of the whole entry. */
  readonly expected: string;
  /** Its keys, when it is an object. */
  readonly parts: Readonly<Record<string, Part>>;
}

/** One key of an entry. */
interface Part {
  readonly expected: string;
  /** Where a value for it is had; follows its name when another key was written. */
  readonly source?: string;
}

/** A named group of settings. */
export interface Section<Children extends Tree> {
  readonly kind: "section";
  readonly doc: string;
  readonly children: Children;
}

export interface Tree {
  readonly [key: string]: Field<unknown> | Section<Tree>;
}

/** The values of a file with this tree, every field present. */
export type Values<T extends Tree> = {
  readonly [K in keyof T]: T[K] extends Section<infer Children>
    ? Values<Children>
    : T[K] extends Field<infer Value>
      ? Value
      : never;
};

interface Extras<T> {
  readonly secret?: boolean;
  readonly aliases?: Readonly<Record<string, T>>;
  readonly entry?: Entry;
}

const textEntry: Entry = { expected: "text", parts: {} };

export function section<Children extends Tree>(doc: string, children: Children): Section<Children> {
  return { kind: "section", doc, children };
}

function field<T>(
  doc: string,
  fallback: T,
  rule: { readonly expected: string; readonly schema: z.ZodMiniType<T> },
  extras: Extras<T> = {},
): Field<T> {
  return {
    kind: "field",
    doc,
    fallback,
    ...rule,
    secret: extras.secret ?? false,
    aliases: extras.aliases ?? {},
    entry: extras.entry,
  };
}

export function text(doc: string, fallback: string, extras?: Extras<string>): Field<string> {
  return field(doc, fallback, { expected: "text", schema: z.string() }, extras);
}

/** Text of a given form, or empty where the fallback is empty. */
export function textLike(doc: string, fallback: string, expected: string, pattern: RegExp): Field<string> {
  return textThat(doc, fallback, expected, (value) => pattern.test(value));
}

/** An address of a given form with nothing in it that no URL may have, such as port 70000. */
export function url(doc: string, fallback: string, expected: string, pattern: RegExp): Field<string> {
  return textThat(doc, fallback, expected, (value) => pattern.test(value) && URL.canParse(value));
}

function textThat(
  doc: string,
  fallback: string,
  expected: string,
  fits: (value: string) => boolean,
): Field<string> {
  const mayBe = (value: string): boolean => fits(value) || (fallback === "" && value === "");
  return field(doc, fallback, { expected, schema: z.string().check(z.refine(mayBe)) });
}

interface AddressForm {
  readonly expected: string;
  /** Those with nothing behind the port. */
  readonly schemes: readonly string[];
  readonly schemesWithPath?: readonly string[];
}

/** Where MQTT is spoken: a host and a port that can be dialled or listened on. */
export function address(doc: string, fallback: string, form: AddressForm): Field<string> {
  return textThat(doc, fallback, `${form.expected}, with a port up to 65535`, (value) => {
    const scheme = /^([a-z]+):\/\/[^\s/]/.exec(value)?.[1] ?? "";
    const url = URL.parse(value);
    if (url === null || url.hostname === "" || /\s/.test(value)) return false;
    if (form.schemesWithPath?.includes(scheme)) return true;
    return (
      form.schemes.includes(scheme) && /^\/?$/.test(url.pathname) && url.search === "" && url.hash === ""
    );
  });
}

export function flag(doc: string, fallback: boolean): Field<boolean> {
  return field(doc, fallback, { expected: "true or false", schema: z.boolean() });
}

/** A whole number within bounds; the unit belongs into the doc. */
export function whole(doc: string, fallback: number, bounds: readonly [number, number]): Field<number> {
  const [least, most] = bounds;
  return field(doc, fallback, {
    expected: `a whole number from ${least} to ${most}`,
    schema: z.int().check(z.minimum(least), z.maximum(most)),
  });
}

export function port(doc: string, fallback: number): Field<number> {
  return field(doc, fallback, {
    expected: "a port from 0 to 65535",
    schema: z.int().check(z.minimum(0), z.maximum(65_535)),
  });
}

export function ports(doc: string, fallback: readonly number[]): Field<readonly number[]> {
  const schema = z.array(z.int().check(z.minimum(1), z.maximum(65_535)));
  const entry = { expected: "a port from 1 to 65535", parts: {} };
  return field<readonly number[]>(doc, fallback, { expected: "a list of ports", schema }, { entry });
}

/** A list of whole numbers within bounds. */
export function wholes(doc: string, bounds: readonly [number, number]): Field<readonly number[]> {
  const [least, most] = bounds;
  const schema = z.array(z.int().check(z.minimum(least), z.maximum(most)));
  const entry = { expected: `a whole number from ${least} to ${most}`, parts: {} };
  return field<readonly number[]>(doc, [], { expected: "a list of whole numbers", schema }, { entry });
}

export function oneOf<const T extends string | number>(
  doc: string,
  fallback: T,
  values: readonly T[],
  extras?: Extras<T>,
): Field<T> {
  // The types of zod lose the literal types of a generic list.
  const expected = [values.slice(0, -1).join(", "), values.at(-1)].join(" or ");
  return field<T>(doc, fallback, { expected, schema: z.literal(values) as z.ZodMiniType<T> }, extras);
}

export function texts(doc: string, fallback: readonly string[]): Field<readonly string[]> {
  const rule = { expected: "a list of texts", schema: z.array(z.string()) };
  return field<readonly string[]>(doc, fallback, rule, { entry: textEntry });
}

export function labels(
  doc: string,
  fallback: Readonly<Record<string, string>>,
): Field<Readonly<Record<string, string>>> {
  const rule = { expected: "names with text values", schema: z.record(z.string(), z.string()) };
  return field<Readonly<Record<string, string>>>(doc, fallback, rule, { entry: textEntry });
}

/** Values of one form by name, where only some names have a meaning. */
export function valuesOf(
  doc: string,
  fallback: Readonly<Record<string, string>>,
  form: { readonly names: readonly string[]; readonly expected: string; readonly pattern: RegExp },
): Field<Readonly<Record<string, string>>> {
  const { names, expected, pattern } = form;
  const value = z.string().check(z.refine((text) => pattern.test(text)));
  const list = names.join(", ");
  const rule = {
    expected: `names of ${list} with values`,
    schema: z
      .record(z.string(), value)
      .check(z.refine((all) => Object.keys(all).every((name) => names.includes(name)))),
  };
  const entry = { expected, parts: {} };
  return field<Readonly<Record<string, string>>>(doc, fallback, rule, { entry });
}

/** Names with lists of addresses of a given form. */
export function urlLists(
  doc: string,
  expected: string,
  pattern: RegExp,
): Field<Readonly<Record<string, readonly string[]>>> {
  const one = z.string().check(z.refine((value) => pattern.test(value) && URL.canParse(value)));
  const rule = { expected: `names with lists of ${expected}`, schema: z.record(z.string(), z.array(one)) };
  return field<Readonly<Record<string, readonly string[]>>>(doc, {}, rule, {
    entry: { expected, parts: {} },
  });
}

/** A list of small objects: the schema of one, and what is expected of each of its keys. */
export function listOf<T>(
  doc: string,
  item: z.ZodMiniType<T>,
  parts: Readonly<Record<keyof T & string, Part>>,
  extras: { readonly secret?: boolean } = {},
): Field<readonly T[]> {
  const expected = `{ ${Object.keys(parts).join(", ")} }`;
  const rule = { expected: `a list of ${expected}`, schema: z.array(item) };
  return field<readonly T[]>(doc, [], rule, { ...extras, entry: { expected, parts } });
}
