import { AppError } from "#shared/errors";
import type { Value, ValueType } from "./driver.ts";

/** A value as twins have it. @throws AppError when it is not of the type */
export function textOfValue(value: Value, type: ValueType): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  switch (type) {
    case "INT":
      return wholeText(value);
    case "FLOAT":
    case "DOUBLE":
      return numberText(value);
    case "BOOLEAN":
      return booleanText(value);
    case "STRING":
    case "BYTES":
      return String(value);
  }
}

/** What is desired, for a driver. @throws AppError when it is not of the type */
export function valueOfText(text: string, type: ValueType): Value {
  switch (type) {
    case "INT": {
      const value = Number(wholeText(text));
      return Number.isSafeInteger(value) ? value : BigInt(text);
    }
    case "FLOAT":
    case "DOUBLE":
      return Number(numberText(text));
    case "BOOLEAN":
      return booleanText(text) === "true";
    case "BYTES":
      return new Uint8Array(Buffer.from(text, "base64"));
    case "STRING":
      return text;
  }
}

/** A float that is whole is an integer; a fraction is none. */
function wholeText(value: Value): string {
  const text = String(value);
  if (/^[+-]?\d+$/.test(text)) return String(BigInt(text));
  throw wrong(value, "a whole number (INT)");
}

function numberText(value: Value): string {
  const number = typeof value === "string" && value.trim() === "" ? Number.NaN : Number(value);
  if (typeof value !== "boolean" && Number.isFinite(number)) return String(number);
  throw wrong(value, "a number");
}

function booleanText(value: Value): string {
  const text = String(value).toLowerCase();
  if (text === "true" || text === "1") return "true";
  if (text === "false" || text === "0") return "false";
  throw wrong(value, "true or false (BOOLEAN)");
}

function wrong(value: Value, expected: string): AppError {
  return new AppError(
    "bad-value",
    `expected ${expected}, got ${JSON.stringify(String(value).slice(0, 100))}`,
  );
}
