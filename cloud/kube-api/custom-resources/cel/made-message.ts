import type { Expression, Meter } from "./expression.ts";

/** Upstream's bound on messages that expressions make. */
const longestMessage = 5 * 1024;

/** The message that a `messageExpression` makes; undefined: it fails, or makes none that can be shown in a line. */
export function madeMessage(
  expression: Expression,
  values: Readonly<Record<string, unknown>>,
  meter: Meter,
): string | undefined {
  try {
    const value = expression.evaluate(values, meter);
    const text = typeof value === "string" ? value.trim() : "";
    return text === "" || text.length > longestMessage || text.includes("\n") ? undefined : text;
  } catch {
    return undefined;
  }
}
