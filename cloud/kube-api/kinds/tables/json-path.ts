import { isObject, type Json } from "#shared/json";

/**
 * The JSONPath of printer columns (k8s.io/client-go/util/jsonpath) without recursive descent: `.a.b`, `['a']`, `[0]`, `[*]`,
 * `[?(@.x=="y")]`. A path is parsed into steps, each of which turns the values found so far into others.
 */
type Step =
  | { readonly kind: "field"; readonly name: string }
  | { readonly kind: "index"; readonly index: number }
  | { readonly kind: "each" }
  | {
      readonly kind: "where";
      readonly path: readonly Step[];
      readonly operator: string;
      readonly value: Json | undefined;
    };

const parsed = new Map<string, readonly Step[] | undefined>();
/** More than the columns of all definitions of a cluster; past it the cache starts again. */
const maxParsed = 1000;
/** A definition with a longer one is refused (crd-validation.ts); those stored before show nothing. */
const longestPath = 4096;

/** What a path finds; nothing when the path cannot be read. */
export function findByPath(path: string, value: Json): Json[] {
  if (!parsed.has(path)) {
    if (parsed.size >= maxParsed) parsed.clear();
    parsed.set(path, path.length > longestPath ? undefined : parsePath(path));
  }
  const steps = parsed.get(path);
  return steps === undefined ? [] : walk(steps, [value]);
}

const token = /^(?:\.([\w$-](?:[^.[\]\\]|\\.)*)|\[(-?\d+)\]|\[(['"])(.*?)\3\]|(\[\*\]|\.\*)|\[\?\((.*?)\)\])/;

function parsePath(text: string): readonly Step[] | undefined {
  const steps: Step[] = [];
  let rest = text.replace(/^\{(.*)\}$/, "$1").replace(/^\$/, "");
  if (rest === "." || rest === "") return [];
  while (rest !== "") {
    const match = token.exec(rest);
    const step = match === null ? undefined : toStep(match);
    if (match === null || step === undefined) return undefined;
    steps.push(step);
    rest = rest.slice(match[0].length);
  }
  return steps;
}

function toStep([, name, index, , quoted, each, filter]: RegExpExecArray): Step | undefined {
  if (name !== undefined) return { kind: "field", name: name.replaceAll(/\\(.)/g, "$1") };
  if (index !== undefined) return { kind: "index", index: Number(index) };
  if (quoted !== undefined) return { kind: "field", name: quoted };
  if (each !== undefined) return { kind: "each" };
  return filter === undefined ? undefined : toFilter(filter);
}

function toFilter(text: string): Step | undefined {
  const match = /^\s*@(\S*?)\s*(?:(==|!=|<=|>=|<|>)\s*(.*?))?\s*$/.exec(text);
  const path = parsePath(match?.[1] ?? "");
  if (match === null || path === undefined) return undefined;
  return { kind: "where", path, operator: match[2] ?? "", value: literal(match[3]) };
}

function literal(text: string | undefined): Json | undefined {
  if (text === undefined) return undefined;
  const quoted = /^(['"])(.*)\1$/.exec(text);
  if (quoted !== null) return quoted[2] ?? "";
  if (text === "true" || text === "false") return text === "true";
  return Number.isNaN(Number(text)) ? text : Number(text);
}

function walk(steps: readonly Step[], start: Json[]): Json[] {
  return steps.reduce((found, step) => found.flatMap((value) => take(step, value)), start);
}

function take(step: Step, value: Json): Json[] {
  if (step.kind === "field")
    return isObject(value) && Object.hasOwn(value, step.name) ? [value[step.name] ?? null] : [];
  if (step.kind === "each" && isObject(value)) return Object.values(value);
  if (!Array.isArray(value)) return [];
  if (step.kind === "each") return value;
  if (step.kind === "where") return value.filter((item) => holds(step, item));
  const item = value.at(step.index);
  return item === undefined ? [] : [item];
}

function holds(step: Extract<Step, { kind: "where" }>, item: Json): boolean {
  const found = walk(step.path, [item]);
  if (step.operator === "" || step.value === undefined) return found.length > 0;
  const [value] = found;
  if (value === undefined) return false;
  return compare(value, step.operator, step.value);
}

function compare(value: Json, operator: string, other: Json): boolean {
  if (operator === "==") return value === other;
  if (operator === "!=") return value !== other;
  if (typeof value !== "number" || typeof other !== "number") return false;
  if (operator === "<") return value < other;
  if (operator === "<=") return value <= other;
  return operator === ">" ? value > other : value >= other;
}
