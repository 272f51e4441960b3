import { objectKey, type Rule, type RuleEndpoint } from "#shared/kube";
import type { RuleMeaning, RuleProblem } from "#shared/rules";
import { CompatibleRules } from "./conflicts.ts";
import type { RuleReader } from "./rule-reader.ts";

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
  reader: RuleReader,
): CompiledRule[] {
  const inEffect = new CompatibleRules();
  return byAge(rules).map((rule) => {
    const namespace = rule.metadata.namespace ?? "default";
    const read = reader.read(rule, (name) => endpointOf(`${namespace}/${name}`));
    if (!read.ok) return { rule, meaning: undefined, problems: read.problems };
    const conflict = inEffect.add(read.meaning);
    if (conflict) return { rule, meaning: undefined, problems: [conflict] };
    return { rule, meaning: read.meaning, problems: [] };
  });
}

/** The oldest first. */
function byAge(rules: readonly Rule[]): Rule[] {
  const aged = rules.map((rule) => ({ rule, age: `${rule.metadata.creationTimestamp} ${objectKey(rule)}` }));
  return aged.sort((left, right) => (left.age < right.age ? -1 : 1)).map(({ rule }) => rule);
}

/** As an Event or a status shows it. */
export function textOfProblem({ field, value, problem }: RuleProblem): string {
  return value === undefined ? `${field}: ${problem}` : `${field}: ${JSON.stringify(value)} ${problem}`;
}
