import textsText from "./schema-texts.txt" with { type: "text" };
import typesText from "./schema-types.txt" with { type: "text" };

/**
 * The definitions of the builtin kinds, generated from the Go types of Kubernetes (package kubernetes-types) by
 * scripts/generate-schemas.ts. A field
 * is a code: shape (`[]` list, `{}` map), leaf, `~` merge key, `^` retain keys, `@` list map keys, `!` required. Leaves are
 * s string, b boolean, i int32, l int64, d double, q quantity, t time, u microtime, x int or string, y base64 bytes, o any object,
 * j any JSON, # another definition.
 */
export type Leaf = "s" | "b" | "i" | "l" | "d" | "q" | "t" | "u" | "x" | "y" | "o" | "j" | "#";

export interface FieldType {
  readonly shape: "one" | "list" | "map";
  readonly leaf: Leaf;
  /** Name of the definition when leaf is `#`. */
  readonly ref: string;
  readonly required: boolean;
  /** Strategic merge: the key of merged list items; "" merges primitives; undefined replaces. */
  readonly mergeKey: string | undefined;
  readonly retainKeys: boolean;
  /** Server-side apply: keys of a list map; empty for a set; undefined for an atomic list. */
  readonly listKeys: readonly string[] | undefined;
}

export type Definition = ReadonlyMap<string, FieldType>;

type Table = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Parsed on first use: the data has 400 KB, and most processes need a few definitions of it. */
const loaded: { types?: Table; texts?: Table | undefined } = {};
const parsed = new Map<string, Definition>();

/** A definition by its short name, e.g. `core.v1.Pod`. */
export function definition(name: string): Definition | undefined {
  const known = parsed.get(name);
  if (known !== undefined) return known;
  const types = (loaded.types ??= JSON.parse(typesText) as Table);
  const raw = Object.hasOwn(types, name) ? types[name] : undefined;
  if (raw === undefined) return undefined;
  const made = new Map(Object.entries(raw).map(([field, code]) => [field, parseCode(code)]));
  parsed.set(name, made);
  return made;
}

/** Descriptions of a definition's fields; its own under the empty name. Parsed on first use, dropped by forgetTexts. */
export function descriptions(name: string): Readonly<Record<string, string>> {
  loaded.texts ??= JSON.parse(textsText) as Table;
  return loaded.texts[name] ?? {};
}

/** Releases the descriptions: they are needed rarely and take most of the memory. */
export function forgetTexts(): void {
  loaded.texts = undefined;
}

/** The definition name of a kind: `core.v1.Pod`, `rbac.v1.Role`. */
export function definitionName(kind: {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}): string {
  return `${kind.group === "" ? "core" : kind.group.split(".", 1)[0]}.${kind.version}.${kind.kind}`;
}

const codePattern = /^(\[\]|\{\})?([a-z#])([\w.]*)(?:~(\w*))?(\^)?(?:@([\w,]*))?(!)?$/;

function parseCode(code: string): FieldType {
  const match = codePattern.exec(code);
  const [, shape, leaf = "j", ref = "", mergeKey, retain, keys, required] = match ?? [];
  return {
    shape: shape === "[]" ? "list" : shape === "{}" ? "map" : "one",
    // The generated table has no other letters.
    leaf: leaf as Leaf,
    ref,
    required: required !== undefined,
    mergeKey,
    retainKeys: retain !== undefined,
    listKeys: keys === undefined ? undefined : keys.split(",").filter((key) => key !== ""),
  };
}
