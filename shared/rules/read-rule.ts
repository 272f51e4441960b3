import type { Rule, RuleEndpoint } from "#shared/kube";
import { namesIn, namesOf } from "./path-template.ts";
import { endpointAt, Problems, type RuleResource } from "./problems.ts";
import { readSource } from "./read-source.ts";
import { readTarget } from "./read-target.ts";
import type { ReadRule, RuleSource } from "./rule-meaning.ts";

/** As KubeEdge's router, which also has servicebus to rest; eventbus to eventbus is ours. */
const pairs: readonly string[] = [
  "rest eventbus",
  "rest servicebus",
  "eventbus rest",
  "servicebus rest",
  "eventbus eventbus",
];

/**
 * Reads a Rule with the endpoints of its namespace. Values are checked here as well as by the schema of the CRD: an existing
 * cluster may have KubeEdge's, which takes anything.
 */
export function readRule(rule: Rule, endpointOf: (name: string) => RuleEndpoint | undefined): ReadRule {
  const { metadata, spec = {} } = rule;
  const { name = "", namespace = "default" } = metadata;
  const { sourceResource = {}, targetResource = {} } = spec;
  const problems = new Problems();
  const lookup = { problems, endpointOf };
  const sourceEndpoint = endpointAt("spec.source", spec.source, lookup);
  const targetEndpoint = endpointAt("spec.target", spec.target, lookup);
  if (!sourceEndpoint || !targetEndpoint) return { ok: false, problems: problems.list };
  const pair = `${sourceEndpoint.kind} ${targetEndpoint.kind}`;
  if (!pairs.includes(pair)) {
    problems.add("spec.target", spec.target, unlikePairs(pair));
    return { ok: false, problems: problems.list };
  }
  const source = readSource(sourceEndpoint.kind, { namespace, resource: sourceResource, problems });
  const target = readTarget(targetEndpoint, sourceEndpoint.kind, { resource: targetResource, problems });
  checkNames(source, targetResource, problems);
  const timeoutMs = readTimeout(targetResource, problems);
  if (!source || !target || problems.list.length > 0) return { ok: false, problems: problems.list };
  return { ok: true, meaning: { key: `${namespace}/${name}`, namespace, name, source, target, timeoutMs } };
}

function unlikePairs(pair: string): string {
  const allowed = pairs.map((one) => one.replace(" ", " to ")).join(", ");
  return `must be an endpoint of another type: a rule leads from ${allowed}, not from ${pair.replace(" ", " to ")}`;
}

/** A placeholder of the target has to get its value from the source. */
function checkNames(source: RuleSource | undefined, resource: RuleResource, problems: Problems): void {
  if (!source) return;
  const known = new Set(["node", ...(source.kind === "rest" ? namesOf(source.path) : [])]);
  for (const key of ["path", "topic", "resource"]) {
    const value = resource[key];
    const unknown = namesIn(value ?? "").find((name) => !known.has(name));
    if (unknown !== undefined)
      problems.add(`spec.targetResource.${key}`, value, `{${unknown}} is no placeholder of the source`);
  }
}

function readTimeout({ timeout }: RuleResource, problems: Problems): number | undefined {
  if (timeout === undefined) return undefined;
  const seconds = Number(/^(\d{1,4})s?$/.exec(timeout)?.[1] ?? 0);
  if (seconds >= 1 && seconds <= 3600) return seconds * 1000;
  return problems.add("spec.targetResource.timeout", timeout, "must be seconds from 1 to 3600, such as 30");
}
