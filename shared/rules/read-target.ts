import { isTopicFilter } from "#shared/mqtt";
import { readNodeChoice } from "./node-choice.ts";
import { parseTemplate } from "./path-template.ts";
import {
  isPlainUrl,
  type EndpointKind,
  type NamedEndpoint,
  type Problems,
  type RuleResource,
} from "./problems.ts";
import type { Delivery, NodeChoice, RuleTarget } from "./rule-meaning.ts";

const field = "spec.targetResource";

interface TargetParts {
  readonly resource: RuleResource;
  readonly problems: Problems;
  readonly nodes: NodeChoice | undefined;
  readonly delivery: Delivery;
}

/** @param source where the messages come from: only requests name a node themselves */
export function readTarget(
  endpoint: NamedEndpoint,
  source: EndpointKind,
  { resource, problems }: Pick<TargetParts, "problems" | "resource">,
): RuleTarget | undefined {
  if (endpoint.kind === "rest") return readUrl(resource, problems);
  const { choice: nodes, problem } = readNodeChoice(resource, field);
  if (problem) problems.add(problem.field, problem.value, problem.problem);
  else if (!nodes && source !== "rest")
    problems.add(`${field}.node_name`, undefined, "must be given, or node_selector, or all_nodes");
  const { delivery = "direct" } = resource;
  if (delivery !== "direct" && delivery !== "durable")
    return problems.add(`${field}.delivery`, delivery, "must be direct or durable");
  const parts = { resource, problems, nodes, delivery } as const;
  return endpoint.kind === "eventbus" ? readTopic(parts) : readService(endpoint, parts);
}

function readTopic({ resource: { topic }, problems, nodes, delivery }: TargetParts): RuleTarget | undefined {
  const plain = topic?.replaceAll(/\{\w+\}/g, "x") ?? "";
  if (topic !== undefined && isTopicFilter(plain) && !/[+#]/.test(plain) && !topic.startsWith("$"))
    return { kind: "eventbus", topic, nodes, delivery };
  return problems.add(
    `${field}.topic`,
    topic,
    "must be a topic of MQTT without wildcards, and not begin with $",
  );
}

function readService(
  { name, properties }: NamedEndpoint,
  { resource: { path = "/" }, problems, nodes, delivery }: TargetParts,
): RuleTarget | undefined {
  const { service_port: text = "" } = properties;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  const isPort = port >= 1 && port <= 65_535;
  if (!isPort)
    problems.add(
      "spec.target",
      name,
      `its RuleEndpoint must have properties.service_port, a port from 1 to 65535, not ${JSON.stringify(text)}`,
    );
  if (!parseTemplate(path))
    return problems.add(
      `${field}.path`,
      path,
      "must be a path such as /light, without empty parts, dots alone, escapes and query",
    );
  if (!isPort) return undefined;
  return { kind: "servicebus", port, path: path.startsWith("/") ? path : `/${path}`, nodes, delivery };
}

function readUrl({ resource: url }: RuleResource, problems: Problems): RuleTarget | undefined {
  if (url !== undefined && isPlainUrl(url)) return { kind: "rest", url };
  return problems.add(
    `${field}.resource`,
    url,
    "must be an http or https URL without user, password and fragment, with placeholders in its path and query alone",
  );
}
