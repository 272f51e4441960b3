import { objectKey, type Rule, type RuleEndpoint } from "#shared/kube";
import { readRule, type RuleMeaning, type RuleProblem } from "#shared/rules";
import { CompatibleRules } from "./conflicts.ts";

/** A rule with what it means, or why it is not in effect. */
export interface CompiledRule {
  readonly rule: Rule;
  readonly meaning: RuleMeaning | undefined;
  readonly problems: readonly RuleProblem[];
}

/** Reads all rules. Of two that exclude each other the older is in effect, as the younger was written knowing it. */
export function compileRules(
  rules: readonly Rule[],
  endpointOf: (key: string) => RuleEndpoint | undefined,
): CompiledRule[] {
  const inEffect = new CompatibleRules();
  return rules.toSorted(byAge).map((rule) => {
    const namespace = rule.metadata.namespace ?? "default";
    const read = readRule(rule, (name) => endpointOf(`${namespace}/${name}`));
    if (!read.ok) return { rule, meaning: undefined, problems: read.problems };
    const conflict = inEffect.add(read.meaning);
    if (conflict) return { rule, meaning: undefined, problems: [conflict] };
    return { rule, meaning: read.meaning, problems: [] };
  });
}

function byAge(left: Rule, right: Rule): number {
  const [first, second] = [left, right].map(
    (rule) => `${rule.metadata.creationTimestamp} ${objectKey(rule)}`,
  );
  return (first ?? "") < (second ?? "") ? -1 : 1;
}

/** As an Event or a status shows it. */
export function textOfProblem({ field, value, problem }: RuleProblem): string {
  return value === undefined ? `${field}: ${problem}` : `${field}: ${JSON.stringify(value)} ${problem}`;
}
