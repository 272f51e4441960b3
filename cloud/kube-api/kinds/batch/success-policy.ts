import { invalid, required, tooMany } from "#cloud/kube-api/kinds/validation";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, itemsOf, numberOf, textOf, type JsonObject } from "#shared/json";

const mostRules = 20;

export function validateSuccessPolicy(spec: JsonObject | undefined, path: string): FieldError[] {
  const policy = childOf(spec, "successPolicy");
  if (policy === undefined) return [];
  const field = `${path}.successPolicy`;
  if (textOf(spec, "completionMode") !== "Indexed")
    return [invalid(field, {}, "requires indexed completion mode")];
  const rules = itemsOf(policy, "rules");
  if (rules.length === 0)
    return [
      required(`${field}.rules`, "at least one rules must be specified when the successPolicy is specified"),
    ];
  const completions = numberOf(spec, "completions") ?? 0;
  const errors = rules.flatMap((rule, index) =>
    validateRule(rule, { completions, path: `${field}.rules[${index}]` }),
  );
  if (rules.length > mostRules) errors.push(tooMany(`${field}.rules`, rules.length, mostRules));
  return errors;
}

function validateRule(rule: JsonObject, scope: { completions: number; path: string }): FieldError[] {
  const { completions, path } = scope;
  const indexes = textOf(rule, "succeededIndexes");
  const count = numberOf(rule, "succeededCount");
  if (indexes === "" && count === undefined)
    return [required(path, "at least one of succeededCount or succeededIndexes must be specified")];
  const total = indexes === "" ? completions : countIndexes(indexes, completions);
  if (typeof total === "string")
    return [invalid(`${path}.succeededIndexes`, indexes, `error parsing succeededIndexes: ${total}`)];
  if (count === undefined) return [];
  if (count < 1) return [invalid(`${path}.succeededCount`, count, "must be greater than or equal to 1")];
  return count > total
    ? [invalid(`${path}.succeededCount`, count, `must be less than or equal to ${total}`)]
    : [];
}

/** How many indexes a text such as `0,2-4` names; a text says what is wrong with it. */
function countIndexes(text: string, completions: number): number | string {
  let total = 0;
  let previous = -1;
  for (const part of text.split(",")) {
    const match = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(part);
    if (!match) return `cannot convert string to integer for index: ${JSON.stringify(part)}`;
    const first = Number(match[1]);
    const last = Number(match[2] ?? first);
    if (first <= previous) return `non-increasing order, previous: ${previous}, current: ${first}`;
    if (match[2] !== undefined && last <= first)
      return `non-increasing order, previous: ${first}, current: ${last}`;
    if (last >= completions) return `too large index: ${JSON.stringify(String(last))}`;
    total += last - first + 1;
    previous = last;
  }
  return total;
}
