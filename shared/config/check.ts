import * as z from "zod/mini";
import { nearest, quote } from "#shared/errors";
import type { Field, Section, Tree, Values } from "./field.ts";

type Plain = Readonly<Record<string, unknown>>;
type Node = Field<unknown> | Section<Tree>;

export interface Checked<T extends Tree> {
  /** undefined when there are problems */
  readonly values: Values<T> | undefined;
  /** One text a problem: `mqtt.mode: expected 0, 1 or 2, got "x"`. */
  readonly problems: readonly string[];
}

/** Checks a file against its table: absent fields get their default, every fault is reported. */
export function checkValues<T extends Tree>(tree: T, input: unknown): Checked<T> {
  const root: Section<Tree> = { kind: "section", doc: "", children: tree };
  const tidy = tidyUp(root, input) ?? {};
  const result = schemaOf(root).safeParse(tidy);
  // The schema was made of the same tree as the type.
  if (result.success) return { values: result.data as Values<T>, problems: [] };
  return { values: undefined, problems: result.error.issues.flatMap((issue) => explain(root, tidy, issue)) };
}

function schemaOf(node: Node): z.ZodMiniType {
  if (node.kind === "field") return z._default(node.schema, node.fallback);
  const shape = Object.entries(node.children).map(([key, child]) => [key, schemaOf(child)] as const);
  return z.prefault(z.strictObject(Object.fromEntries(shape)), {});
}

/** `key:` with nothing after it counts as absent, and other spellings of a value as the value. */
function tidyUp(node: Node, input: unknown): unknown {
  if (input === null || input === undefined) return undefined;
  if (node.kind === "field") {
    const known = typeof input === "string" && Object.hasOwn(node.aliases, input);
    return known ? node.aliases[input] : input;
  }
  if (!isPlain(input) || Array.isArray(input)) return input;
  return Object.fromEntries(
    Object.entries(input).flatMap(([key, value]) => {
      const child = Object.hasOwn(node.children, key) ? node.children[key] : undefined;
      if (!child) return [[key, value] as const];
      const tidy = tidyUp(child, value);
      return tidy === undefined ? [] : [[key, tidy] as const];
    }),
  );
}

function explain(root: Section<Tree>, input: unknown, issue: z.core.$ZodIssue): string[] {
  const { node, path } = locate(root, issue.path);
  const name = formatPath(issue.path);
  const value = at(input, issue.path);
  if (node.kind === "section") {
    if (issue.code !== "unrecognized_keys")
      return [`${name || "the file"}: expected names with values, got ${showInstead(node, value)}`];
    return issue.keys.map((key) => unknownKey(node, path, key));
  }
  if (issue.code === "unrecognized_keys") return issue.keys.map((key) => unknownPart(node, name, key));
  const got = node.secret && value !== undefined ? "something else" : show(value);
  return [`${name}: expected ${expectedAt(node, issue.path.slice(path.length))}, got ${got}`];
}

function unknownKey(node: Section<Tree>, path: readonly string[], key: string): string {
  const meant = nearest(key, Object.keys(node.children));
  const hint = meant === undefined ? "" : `, did you mean "${meant}"?`;
  return `${[...path, key].join(".")}: unknown key${hint}`;
}

function unknownPart({ entry }: Field<unknown>, name: string, key: string): string {
  const parts = entry?.parts ?? {};
  const meant = nearest(key, Object.keys(parts));
  if (meant === undefined) return `${name}.${key}: unknown; expected ${entry?.expected ?? "nothing"}`;
  const source = parts[meant]?.source;
  return `${name}.${key}: unknown; did you mean ${meant}${source === undefined ? "" : ` (${source})`}?`;
}

/** What is expected at `inner` of a field's value: of the whole, of an entry, or of a key of one. */
function expectedAt({ expected, entry }: Field<unknown>, inner: readonly PropertyKey[]): string {
  if (entry === undefined || inner.length === 0) return expected;
  const [, key] = inner;
  return (key === undefined ? undefined : entry.parts[String(key)]?.expected) ?? entry.expected;
}

/** What stands where a section should: secrets of the section may be in it, so only its kind when there are any. */
function showInstead(node: Section<Tree>, value: unknown): string {
  if (!hasSecret(node) || typeof value === "number" || typeof value === "boolean") return show(value);
  return Array.isArray(value) ? "a list" : "something else";
}

function hasSecret(node: Node): boolean {
  return node.kind === "field" ? node.secret : Object.values(node.children).some(hasSecret);
}

/** The deepest node of the table that `path` leads to. */
function locate(
  root: Section<Tree>,
  path: readonly PropertyKey[],
): { readonly node: Node; readonly path: string[] } {
  let node: Node = root;
  const walked: string[] = [];
  for (const key of path) {
    if (node.kind === "field") break;
    const child: Node | undefined = node.children[String(key)];
    if (!child) break;
    node = child;
    walked.push(String(key));
  }
  return { node, path: walked };
}

export function formatPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, key) =>
      typeof key === "number" ? `${text}[${key}]` : `${text}${text === "" ? "" : "."}${String(key)}`,
    "",
  );
}

function at(input: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => (isPlain(value) ? value[String(key)] : undefined), input);
}

function show(value: unknown): string {
  if (value === undefined) return "nothing";
  try {
    // The user of an address may come with a password.
    return quote(typeof value === "string" ? value.replace(/\/\/[^/\s]*@/, "//…@") : value);
  } catch {
    return "something that refers to itself";
  }
}

export function isPlain(value: unknown): value is Plain {
  return typeof value === "object" && value !== null;
}

/** Behind a key; what looks like one within a text or a comment does no harm. */
const colons = /(?<=\S)[ \t]*:(?=[\s,[\]{}]|$)|(?<=["']):/g;
/** Ends the name of a key and makes it like no other. */
const mark = /\u{E000}(\d+)/u;

/** What is looked at before a colon: a line may be a whole file. */
const longestName = 300;

interface Marked {
  readonly text: string;
  /** Where in the file the n-th key stands. */
  readonly places: readonly number[];
}

/**
 * Keys given twice in one mapping, one text each: `mqtt: given twice, lines 1 and 20; merge them`. The parser keeps the
 * last without a warning, so this reads the file once more with every key numbered, where none replaces another.
 */
export function findDuplicates(text: string, parse: (text: string) => unknown): string[] {
  const marked = markKeys(text);
  const seen = new Set<unknown>();
  const lineOf = (key: string): number =>
    text.slice(0, marked.places[Number(mark.exec(key)?.[1])]).split("\n").length;
  const walk = (value: unknown, path: readonly PropertyKey[]): string[] => {
    if (!isPlain(value) || seen.has(value)) return [];
    seen.add(value);
    if (Array.isArray(value)) return value.flatMap((one, index) => walk(one, [...path, index]));
    const groups = Map.groupBy(Object.keys(value), (key) => key.replace(mark, ""));
    return [...groups].flatMap(([name, keys]) => {
      const here = [...path, name];
      const merge = keys.every((key) => isPlain(value[key]));
      // Merge keys are merged, however many there are.
      const found =
        keys.length < 2 || name === "<<" ? [] : [explainDuplicate(formatPath(here), keys.map(lineOf), merge)];
      return [...found, ...keys.flatMap((key) => walk(value[key], here))];
    });
  };
  return walk(parse(marked.text), []);
}

function explainDuplicate(name: string, lines: readonly number[], merge: boolean): string {
  const times = lines.length === 2 ? "twice" : `${lines.length} times`;
  const where = `${lines.slice(0, -1).join(", ")} and ${lines.at(-1)}`;
  return `${name}: given ${times}, lines ${where}; ${merge ? "merge them" : "keep one of them"}`;
}

function markKeys(text: string): Marked {
  const places: number[] = [];
  const parts: string[] = [];
  let done = 0;
  for (const { index } of text.matchAll(colons)) {
    const end = endOfName(text, index);
    if (end === undefined) continue;
    parts.push(text.slice(done, end), `\u{E000}${places.length}`);
    places.push(end);
    done = end;
  }
  return { text: [...parts, text.slice(done)].join(""), places };
}

/** Within the quotes of a quoted name. @returns undefined where no key ends: at an alias, or a quote within a text */
function endOfName(text: string, index: number): number | undefined {
  const before = text.slice(Math.max(0, index - longestName), index);
  const line = before.slice(before.lastIndexOf("\n") + 1);
  const quote = line.at(-1);
  if (quote === '"') return /(?<!\\)(?:\\\\)*\\"$/.test(line) ? undefined : index - 1;
  if (quote === "'") return line.endsWith("''") ? undefined : index - 1;
  return /(?:^|[\s,[{])\*\S+$/.test(line) ? undefined : index;
}
