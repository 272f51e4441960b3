import type { RuleEndpoint } from "#shared/kube";
import type { RuleProblem, RuleSource } from "./rule-meaning.ts";

/** `sourceResource` and `targetResource` of a Rule, and the properties of an endpoint. */
export type RuleResource = Readonly<Record<string, string>>;
export type EndpointKind = RuleSource["kind"];

/** What is wrong with one rule. */
export class Problems {
  readonly list: RuleProblem[] = [];

  /** @returns undefined, in the place of what could not be read */
  add(field: string, value: string | undefined, problem: string): undefined {
    this.list.push({ field, value, problem });
  }
}

/** The endpoint that a rule names. */
export interface NamedEndpoint {
  readonly kind: EndpointKind;
  readonly name: string;
  readonly properties: RuleResource;
}

const kinds: readonly EndpointKind[] = ["rest", "eventbus", "servicebus"];

export function endpointAt(
  field: string,
  name: string | undefined,
  { problems, endpointOf }: EndpointLookup,
): NamedEndpoint | undefined {
  const endpoint = name === undefined ? undefined : endpointOf(name);
  const kind = kinds.find((one) => one === endpoint?.spec?.ruleEndpointType);
  if (name !== undefined && kind) return { kind, name, properties: endpoint?.spec?.properties ?? {} };
  return problems.add(
    field,
    name,
    endpoint
      ? "must name a RuleEndpoint of type rest, eventbus or servicebus"
      : "must name a RuleEndpoint of the same namespace",
  );
}

export interface EndpointLookup {
  readonly problems: Problems;
  readonly endpointOf: (name: string) => RuleEndpoint | undefined;
}

/** The authority of a URL is fixed: who sends a message must not choose the host. */
const plainUrl = /^https?:\/\/[^/?#@{}\\\s]+([/?][^#\\\s]*)?$/i;

export function isPlainUrl(url: string): boolean {
  return url.length <= 2048 && plainUrl.test(url) && URL.canParse(url.replaceAll(/\{\w+\}/g, "x"));
}
