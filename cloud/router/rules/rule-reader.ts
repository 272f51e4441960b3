import type { Rule, RuleEndpoint } from "#shared/kube";
import { readRule, type ReadRule } from "#shared/rules";

interface KnownRule {
  readonly source: RuleEndpoint | undefined;
  readonly target: RuleEndpoint | undefined;
  readonly read: ReadRule;
}

/** Reads rules, each version of one once: a change of one among thousands looks at all of them. */
export class RuleReader {
  readonly #known = new WeakMap<Rule, KnownRule>();

  read(rule: Rule, endpointOf: (name: string) => RuleEndpoint | undefined): ReadRule {
    const source = endpointOf(rule.spec?.source ?? "");
    const target = endpointOf(rule.spec?.target ?? "");
    const known = this.#known.get(rule);
    if (known && isSame(known.source, source) && isSame(known.target, target)) return known.read;
    const read = readRule(rule, endpointOf);
    this.#known.set(rule, { source, target, read });
    return read;
  }
}

function isSame(one: RuleEndpoint | undefined, other: RuleEndpoint | undefined): boolean {
  const [first, second] = [one?.metadata, other?.metadata];
  return first?.uid === second?.uid && first?.resourceVersion === second?.resourceVersion;
}
