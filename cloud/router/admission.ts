import type { Admission, AdmissionCause } from "#cloud/kube-api/server";
import { objectKey, type KubeObject, type Rule, type RuleEndpoint } from "#shared/kube";
import { readRule, type ReadRule, type RuleProblem } from "#shared/rules";
import { CompatibleRules, RuleReader } from "#cloud/router/rules";

const group = "rules.kubeedge.io";

/**
 * What the API refuses of Rules beyond their schema: what contradicts their endpoints or other rules of the namespace. A Rule
 * may come before its endpoints, and endpoints may change under it: its status says then why it is not in effect.
 */
export function createRuleAdmission(): Admission {
  const reader = new RuleReader();
  return (object, lookup, list) => admitRule(reader, object, { lookup, list });
}

interface OtherObjects {
  readonly lookup: Parameters<Admission>[1];
  readonly list: Parameters<Admission>[2];
}

function admitRule(
  reader: RuleReader,
  object: KubeObject,
  { lookup, list }: OtherObjects,
): readonly AdmissionCause[] {
  if (object.apiVersion !== `${group}/v1` || object.kind !== "Rule") return [];
  const rule: Rule = object;
  const { namespace = "default" } = rule.metadata;
  // A few endpoints serve thousands of rules, and each lookup reads the object again.
  const endpoints = new Map<string, RuleEndpoint | undefined>();
  const endpointAt = (name = ""): RuleEndpoint | undefined => {
    if (!endpoints.has(name)) endpoints.set(name, lookup(group, "ruleendpoints", { namespace, name }));
    return endpoints.get(name);
  };
  if (!endpointAt(rule.spec?.source) || !endpointAt(rule.spec?.target)) return [];
  const read = readRule(rule, endpointAt);
  if (!read.ok) return read.problems.map(toCause);
  const others = list(group, "rules", namespace).filter((one) => objectKey(one) !== objectKey(object));
  const inEffect = inEffectOf(others, (other) => reader.read(other, endpointAt));
  const conflict = inEffect.add(read.meaning);
  return conflict ? [toCause(conflict)] : [];
}

function inEffectOf(rules: readonly Rule[], read: (rule: Rule) => ReadRule): CompatibleRules {
  const inEffect = new CompatibleRules();
  for (const rule of rules) {
    const one = read(rule);
    if (one.ok) inEffect.add(one.meaning);
  }
  return inEffect;
}

function toCause({ field, value, problem }: RuleProblem): AdmissionCause {
  return value === undefined
    ? { reason: "FieldValueRequired", field, message: `Required value: ${problem}` }
    : { reason: "FieldValueInvalid", field, message: `Invalid value: ${JSON.stringify(value)}: ${problem}` };
}
