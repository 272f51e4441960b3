import { objectKey, type Rule, type RuleEndpoint } from "#shared/kube";
import { TopicTrie } from "#shared/mqtt";
import {
  choosesNode,
  compareTemplates,
  matchTemplate,
  type NamedNode,
  type Parameters,
  type RuleMeaning,
  type TemplatePart,
} from "#shared/rules";
import { compileRules, type CompiledRule } from "./compile.ts";
import { RuleReader } from "./rule-reader.ts";

export interface RestMatch {
  readonly rule: RuleMeaning;
  readonly parameters: Parameters;
  /** parts of the path behind that of the rule */
  readonly rest: readonly string[];
}

interface RestRule {
  readonly rule: RuleMeaning;
  readonly template: readonly TemplatePart[];
}

/** The rules as they are at one time, and which of them a request or a message meets. */
export class RuleBook {
  /** by `<namespace>/<name>` */
  readonly rules: ReadonlyMap<string, CompiledRule>;
  /** by namespace, the one that is meant first */
  readonly #rest = new Map<string, RestRule[]>();
  readonly #topics = new TopicTrie<RuleMeaning>();
  readonly #urls = new Map<string, RuleMeaning[]>();

  constructor(
    rules: readonly Rule[],
    endpointOf: (key: string) => RuleEndpoint | undefined,
    reader = new RuleReader(),
  ) {
    const compiled = compileRules(rules, endpointOf, reader);
    this.rules = new Map(compiled.map((one) => [objectKey(one.rule), one]));
    for (const { meaning } of compiled) if (meaning) this.#index(meaning);
    for (const list of this.#rest.values())
      list.sort((left, right) => compareTemplates(left.template, right.template));
  }

  /** Those that are in effect. */
  meanings(): RuleMeaning[] {
    return [...this.rules.values()].flatMap(({ meaning }) => meaning ?? []);
  }

  meaning(key: string): RuleMeaning | undefined {
    return this.rules.get(key)?.meaning;
  }

  /** Of several rules the one with the longest path, and of these the one with texts where others have placeholders. */
  ofRequest(namespace: string, parts: readonly string[]): RestMatch | undefined {
    for (const { rule, template } of this.#rest.get(namespace) ?? []) {
      const match = matchTemplate(template, parts);
      if (match) return { rule, ...match };
    }
    return undefined;
  }

  /** Every rule whose topic covers what a client published on the node. */
  ofTopic(node: NamedNode, topic: string): RuleMeaning[] {
    return [...this.#topics.match(topic)].filter(
      ({ source }) => source.kind === "eventbus" && choosesNode(source.nodes, node),
    );
  }

  ofUrl(node: NamedNode, url: string): RuleMeaning | undefined {
    return this.#urls
      .get(url)
      ?.find(({ source }) => source.kind === "servicebus" && choosesNode(source.nodes, node));
  }

  #index(rule: RuleMeaning): void {
    const { source, namespace } = rule;
    if (source.kind === "eventbus") this.#topics.add(source.filter, rule);
    else if (source.kind === "rest") append(this.#rest, namespace, { rule, template: source.path });
    else append(this.#urls, source.targetUrl, rule);
  }
}

function append<V>(map: Map<string, V[]>, key: string, value: V): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}
