import { Optional } from "@marcbachmann/cel-js";
import { isObject, ownField, type Json, type JsonObject } from "#shared/json";

/** Names of properties that CEL cannot spell, as Kubernetes escapes them. */
const reserved = new Set(
  "true false null in as break const continue else for function if import let loop package namespace return var void while".split(
    " ",
  ),
);
const escapes: Readonly<Record<string, string>> = { ".": "__dot__", "-": "__dash__", "/": "__slash__" };

/** The name of a property as CEL spells it. */
export function escapedName(name: string): string {
  if (reserved.has(name)) return `__${name}__`;
  return name.replaceAll("__", "__underscores__").replaceAll(/[./-]/g, (sign) => escapes[sign] ?? sign);
}

/**
 * A value as expressions see it: whole numbers of integer fields are ints, other numbers doubles, and properties have names that
 * CEL can spell. What the schema does not describe is converted by what it is.
 */
export function celValue(value: Json, schema: JsonObject): unknown {
  if (typeof value === "number") return schema.type === "number" ? value : numberOf(value);
  if (Array.isArray(value)) {
    const items = isObject(schema.items) ? schema.items : {};
    return value.map((item) => celValue(item, items));
  }
  if (!isObject(value)) return value;
  const properties = isObject(schema.properties) ? schema.properties : undefined;
  const additional = isObject(schema.additionalProperties) ? schema.additionalProperties : {};
  const entries = Object.entries(value).map(([key, item]): [string, unknown] => {
    const property = properties && ownField(properties, key);
    return [properties ? escapedName(key) : key, celValue(item, isObject(property) ? property : additional)];
  });
  return Object.fromEntries(entries);
}

/** A value without a schema: whole numbers are ints. */
export function dynamicValue(value: Json): unknown {
  return celValue(value, {});
}

/** `optional.of(value)`, or `optional.none()`. */
export function optionalValue(value: unknown): unknown {
  return value === undefined ? Optional.none() : Optional.of(value);
}

function numberOf(value: number): bigint | number {
  return Number.isInteger(value) ? BigInt(value) : value;
}
