import type { Environment } from "@marcbachmann/cel-js";
import { checkSize } from "#cloud/kube-api/custom-resources/cel/size";

/** Strings and regular expressions beyond those of CEL itself; `find` and `findAll` run where the steps are counted. */
export function addStrings(environment: Environment): void {
  const elsewhere = (): never => {
    throw new Error("not evaluated here");
  };
  environment
    .registerFunction("string.charAt(int): string", (text: string, index: bigint) =>
      text.charAt(Number(index)),
    )
    .registerFunction("string.replace(string, string): string", (text: string, old: string, next: string) =>
      replaced(text, old, next),
    )
    .registerFunction(
      "string.replace(string, string, int): string",
      (text: string, old: string, next: string, most: bigint) => replaced(text, old, next, Number(most)),
    )
    .registerFunction("string.reverse(): string", (text: string) => Array.from(text).toReversed().join(""))
    .registerFunction("string.find(string): string", elsewhere)
    .registerFunction("string.findAll(string): list<string>", elsewhere)
    .registerFunction("string.findAll(string, int): list<string>", elsewhere);
}

/** As Go's `strings.Replace`: all for a negative number. */
function replaced(text: string, old: string, next: string, most = -1): string {
  const parts = text.split(old);
  const count = most < 0 ? parts.length - 1 : Math.min(most, parts.length - 1);
  checkSize(text.length + count * Math.max(0, next.length - old.length));
  if (count === parts.length - 1) return parts.join(next);
  return [parts.slice(0, count + 1).join(next), ...parts.slice(count + 1)].join(old);
}
