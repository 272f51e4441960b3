import { join } from "node:path";
import type { Json } from "#shared/json";
import { asText } from "#shared/json";
import type { Rule, RuleEndpoint } from "#shared/kube";
import type { NamedNode, RuleMeaning } from "#shared/rules";
import {
  RuleBook,
  readRequestPath,
  servicePath,
  targetNodes,
  textOfProblem,
  topicOf,
  type RequestPath,
} from "#internal/cloud/router/rules/index.ts";
import {
  runScenarios,
  type ScenarioBlock,
  type ScenarioCommands,
} from "#internal/test/support/scenario/scenario.ts";

runScenarios(join(import.meta.dir, "scenarios"), commandsOf);

/** Endpoints are named after their types; `app` is servicebus on port 8080. Rules are as old as their place in the list. */
function commandsOf(): ScenarioCommands {
  let book = new RuleBook([], endpointOf);
  let nodes = new Map<string, NamedNode>();
  return {
    nodes: ({ input: [labels] }: ScenarioBlock) => {
      const all = labels as unknown as Record<string, Record<string, string>>;
      nodes = new Map(Object.entries(all).map(([name, of]) => [name, { name, labels: of }]));
      return nodes.size;
    },
    /** By name, `<namespace>/<name>` or a name in default: path, topic or URL, and the target. Answers what is not in effect. */
    rules: ({ input: [specs] }: ScenarioBlock) => {
      const rules = Object.entries(specs as unknown as Record<string, Rule["spec"]>).map(toRule);
      book = new RuleBook(rules, endpointOf);
      return Object.fromEntries(
        [...book.rules].flatMap(([key, { problems }]) => problems.map((one) => [key, textOfProblem(one)])),
      );
    },
    request: ({ input: [target] }: ScenarioBlock) => {
      const read = readRequestPath(asText(target));
      if (!read.ok) return { refused: read.problem };
      const { path } = read;
      const match = book.ofRequest(path.namespace, path.parts);
      if (!match) return "no rule";
      const { rule, parameters, rest } = match;
      const choice = rule.target.kind === "rest" ? undefined : rule.target.nodes;
      const found = targetNodes(choice, path.node, {
        get: (name) => nodes.get(name),
        list: () => nodes.values(),
      });
      if (!found.ok) return { rule: rule.key, refused: found.problem };
      const sent = found.nodes.map((node) => `${node} ${shown(rule, path, { ...parameters, node }, rest)}`);
      return {
        rule: rule.key,
        sent: sent.length === 1 ? sent[0] : sent,
        ...(path.isDryRun && { dryRun: true }),
      };
    },
    publish: ({ input: [topic], options }: ScenarioBlock) =>
      book.ofTopic(nodeOf(nodes, options), asText(topic)).map(({ key }) => key),
    ask: ({ input: [url], options }: ScenarioBlock) =>
      book.ofUrl(nodeOf(nodes, options), asText(url))?.key ?? (null as Json),
  };
}

function nodeOf(nodes: ReadonlyMap<string, NamedNode>, options: ReadonlyMap<string, string>): NamedNode {
  const name = options.get("node") ?? "";
  return nodes.get(name) ?? { name, labels: {} };
}

function shown(
  { target }: RuleMeaning,
  { endsWithSlash, query }: RequestPath,
  parameters: Record<string, string>,
  rest: readonly string[],
): string {
  if (target.kind === "eventbus") return topicOf(target, parameters, rest) ?? "cannot be a topic";
  if (target.kind === "servicebus")
    return `:${target.port}${servicePath(target, parameters, { rest, endsWithSlash, query })}`;
  return target.url;
}

function toRule([key, spec]: [string, Rule["spec"]], index: number): Rule {
  const [first = "", second] = key.split("/");
  const [namespace, name] = second === undefined ? ["default", first] : [first, second];
  const creationTimestamp = new Date(index * 1000).toISOString();
  return { metadata: { name, namespace, creationTimestamp }, ...(spec && { spec }) };
}

function endpointOf(key: string): RuleEndpoint | undefined {
  const name = key.slice(key.indexOf("/") + 1);
  const metadata = { name, namespace: "default" };
  if (name === "app")
    return { metadata, spec: { ruleEndpointType: "servicebus", properties: { service_port: "8080" } } };
  return ["rest", "eventbus"].includes(name) ? { metadata, spec: { ruleEndpointType: name } } : undefined;
}
