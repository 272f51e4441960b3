import { isTopicFilter } from "#shared/mqtt";
import { readNodeChoice } from "./node-choice.ts";
import { namesOf, parseTemplate } from "./path-template.ts";
import { isPlainUrl, type EndpointKind, type Problems, type RuleResource } from "./problems.ts";
import type { NodeChoice, RuleSource } from "./rule-meaning.ts";

const field = "spec.sourceResource";

interface SourceParts {
  readonly namespace: string;
  readonly resource: RuleResource;
  readonly problems: Problems;
}

export function readSource(kind: EndpointKind, parts: SourceParts): RuleSource | undefined {
  if (kind === "rest") return readPath(parts);
  const nodes = readNodes(parts);
  return kind === "eventbus" ? readTopic(parts, nodes) : readService(parts, nodes);
}

function readPath({ resource: { path }, problems }: SourceParts): RuleSource | undefined {
  const template = path === undefined ? undefined : parseTemplate(path);
  if (!template || template.length === 0)
    return problems.add(
      `${field}.path`,
      path,
      "must be a path such as /rooms/{room}/light, without empty parts, dots alone and escapes",
    );
  if (namesOf(template).includes("node"))
    return problems.add(
      `${field}.path`,
      path,
      "must not have a placeholder {node}: that is the name of the node",
    );
  return { kind: "rest", path: template };
}

function readNodes({ resource, problems }: SourceParts): NodeChoice | undefined {
  const { choice, problem } = readNodeChoice(resource, field);
  if (problem) return problems.add(problem.field, problem.value, problem.problem);
  if (choice) return choice;
  return problems.add(`${field}.node_name`, undefined, "must be given, or node_selector, or all_nodes");
}

function readTopic(
  { namespace, resource: { topic }, problems }: SourceParts,
  nodes: NodeChoice | undefined,
): RuleSource | undefined {
  const filter = `${namespace}/${topic}`;
  const isFilter =
    topic !== undefined && !topic.startsWith("/") && isTopicFilter(topic) && isTopicFilter(filter);
  if (isFilter) return nodes && { kind: "eventbus", filter, nodes };
  return problems.add(
    `${field}.topic`,
    topic,
    "must be a topic of MQTT, with + and # as wildcards, and not begin with a slash",
  );
}

function readService(
  { resource: { target_url: targetUrl }, problems }: SourceParts,
  nodes: NodeChoice | undefined,
): RuleSource | undefined {
  if (targetUrl !== undefined && isPlainUrl(targetUrl))
    return nodes && { kind: "servicebus", targetUrl, nodes };
  return problems.add(`${field}.target_url`, targetUrl, "must be an http or https URL");
}
