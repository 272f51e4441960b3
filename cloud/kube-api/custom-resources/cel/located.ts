import { asError } from "#shared/errors";
import { isRecord } from "#shared/json";

/** Words of cel-go for what the library says in others. */
const words: readonly (readonly [RegExp, string])[] = [
  [/^Unknown variable: (.+)$/, "undeclared reference to '$1' (in container '')"],
  [/^Function not found: '?([^'(]+)'?.*$/, "undeclared reference to '$1' (in container '')"],
  [/^No such key: (.+)$/, "no such key: $1"],
];

/** A problem with where it is in an expression, as cel-go prints it. */
export function located(text: string, error: unknown): string {
  const message = spelled(error);
  const place = placeOf(error);
  if (place === undefined) return message;
  const before = text.slice(0, place).split("\n");
  const line = text.split("\n")[before.length - 1] ?? "";
  const column = before.at(-1)?.length ?? 0;
  return `<input>:${before.length}:${column + 1}: ${message}\n | ${line}\n | ${".".repeat(column)}^`;
}

/** The first line of an error in the words of cel-go. */
export function spelled(error: unknown): string {
  const message = (asError(error).message.split("\n", 1)[0] ?? "").trim();
  return words.reduce((said, [pattern, word]) => said.replace(pattern, word), message);
}

function placeOf(error: unknown): number | undefined {
  const node = isRecord(error) ? error["node"] : undefined;
  const place = isRecord(node) ? node["pos"] : undefined;
  return typeof place === "number" ? place : undefined;
}
