import type { Admission, AdmissionCause } from "#cloud/kube-api/server";
import { objectKey, type Rule, type RuleEndpoint } from "#shared/kube";
import { readRule, type RuleMeaning, type RuleProblem } from "#shared/rules";
import { CompatibleRules } from "#cloud/router/rules";

const group = "rules.kubeedge.io";

/**
 * What the API refuses of Rules beyond their schema: what contradicts their endpoints or other rules of the namespace. A Rule
 * may come before its endpoints, and endpoints may change under it: its status says then why it is not in effect.
 */
export const admitRules: Admission = (object, lookup, list) => {
  if (object.apiVersion !== `${group}/v1` || object.kind !== "Rule") return [];
  const rule: Rule = object;
  const { namespace = "default" } = rule.metadata;
  const endpointAt = (name = ""): RuleEndpoint | undefined =>
    lookup(group, "ruleendpoints", { namespace, name });
  if (!endpointAt(rule.spec?.source) || !endpointAt(rule.spec?.target)) return [];
  const read = readRule(rule, endpointAt);
  if (!read.ok) return read.problems.map(toCause);
  const others = list(group, "rules", namespace).filter((one) => objectKey(one) !== objectKey(object));
  return conflictsOf(read.meaning, others, endpointAt).map(toCause);
};

function conflictsOf(
  meaning: RuleMeaning,
  others: readonly Rule[],
  endpointAt: (name: string) => RuleEndpoint | undefined,
): RuleProblem[] {
  const inEffect = new CompatibleRules();
  for (const other of others) {
    const read = readRule(other, endpointAt);
    if (read.ok) inEffect.add(read.meaning);
  }
  const conflict = inEffect.add(meaning);
  return conflict ? [conflict] : [];
}

function toCause({ field, value, problem }: RuleProblem): AdmissionCause {
  return value === undefined
    ? { reason: "FieldValueRequired", field, message: `Required value: ${problem}` }
    : { reason: "FieldValueInvalid", field, message: `Invalid value: ${JSON.stringify(value)}: ${problem}` };
}
