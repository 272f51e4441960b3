import { isObject, isRecord, type JsonObject } from "#shared/json";
import { escapedName } from "./values.ts";

/** The schemas of variables; those without one may have any fields. */
export type SchemaOf = Readonly<Record<string, JsonObject | undefined>>;

interface Node {
  readonly op: string;
  readonly args: unknown;
}

/** A field that the schema of its value does not declare. */
class UndefinedField extends Error {
  readonly node: unknown;

  constructor(name: string, node: unknown) {
    super(`undefined field '${name}'`);
    // Where the dot is.
    const place = isRecord(node) ? node["pos"] : undefined;
    this.node = typeof place === "number" ? { pos: place - 1 } : undefined;
  }
}

/** Macros that name each item, and repeat their last arguments for it. */
export const macros = new Set(["all", "exists", "exists_one", "map", "filter"]);

/** The first field that an expression uses although no schema declares it. */
export function undefinedField(root: unknown, schemas: SchemaOf): UndefinedField | undefined {
  try {
    if (isNode(root)) schemaOf(root, schemas);
    return undefined;
  } catch (error) {
    if (error instanceof UndefinedField) return error;
    throw error;
  }
}

/** The schema of a value, undefined where it can be anything. @throws UndefinedField */
function schemaOf(node: Node, known: SchemaOf): JsonObject | undefined {
  const { op, args } = node;
  if (op === "id" && typeof args === "string") return known[args];
  if (!Array.isArray(args)) {
    if (isNode(args)) schemaOf(args, known);
    return undefined;
  }
  switch (op) {
    case ".":
      return fieldSchema(node, args[0], { name: args[1], known });
    case "[]":
      visit(args[1], known);
      return itemSchema(isNode(args[0]) ? schemaOf(args[0], known) : undefined);
    case "rcall":
      return callSchema(args, known);
    default:
      visit(args, known);
      return undefined;
  }
}

function visit(value: unknown, known: SchemaOf): void {
  if (Array.isArray(value)) for (const one of value) visit(one, known);
  else if (isNode(value)) schemaOf(value, known);
}

function fieldSchema(
  node: Node,
  owner: unknown,
  { name, known }: { readonly name: unknown; readonly known: SchemaOf },
): JsonObject | undefined {
  const schema = isNode(owner) ? schemaOf(owner, known) : undefined;
  const properties = schema?.["properties"];
  if (!schema || typeof name !== "string") return undefined;
  if (!isObject(properties)) return itemSchema(schema);
  const found = Object.entries(properties).find(([key]) => escapedName(key) === name)?.[1];
  if (found === undefined) throw new UndefinedField(name, node);
  return isObject(found) ? typed(found) : undefined;
}

/** Of an item of a list, or of a value of a map. */
function itemSchema(schema: JsonObject | undefined): JsonObject | undefined {
  const item = schema?.["items"] ?? schema?.["additionalProperties"];
  return isObject(item) ? typed(item) : undefined;
}

/** Undefined for what can be of several types. */
function typed(schema: JsonObject): JsonObject | undefined {
  return schema["x-kubernetes-int-or-string"] === true ? undefined : schema;
}

function callSchema(args: readonly unknown[], known: SchemaOf): JsonObject | undefined {
  const [name, receiver, parameters] = args;
  const list = isNode(receiver) ? schemaOf(receiver, known) : undefined;
  if (typeof name !== "string" || !Array.isArray(parameters)) return undefined;
  const [item, ...rest] = parameters as unknown[];
  if (!macros.has(name) || !isNode(item) || typeof item.args !== "string") {
    visit(parameters, known);
    return undefined;
  }
  // Those of a map are its keys.
  const itemOf = list?.["items"] === undefined ? undefined : itemSchema(list);
  visit(rest, { ...known, [item.args]: itemOf });
  return name === "filter" ? list : undefined;
}

function isNode(value: unknown): value is Node {
  return isRecord(value) && typeof value["op"] === "string" && "args" in value;
}
