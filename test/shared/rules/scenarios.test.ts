import { join } from "node:path";
import type { Rule, RuleEndpoint } from "#shared/kube";
import { readRule } from "#shared/rules";
import { runScenarios, type ScenarioCommands } from "#internal/test/support/scenario/scenario.ts";

runScenarios(join(import.meta.dir, "scenarios"), (): ScenarioCommands => ({
  /** Input: a spec of a Rule. Endpoints are named after their types; `app` is servicebus on port 8080. */
  read: ({ input: [spec] }) => {
    // The scenario files hold specs.
    const rule = { metadata: { name: "r", namespace: "default" }, spec } as unknown as Rule;
    const read = readRule(rule, endpointOf);
    if (!read.ok) return { wrong: read.problems.map(({ field, problem }) => `${field}: ${problem}`) };
    const { source, target, timeoutMs } = read.meaning;
    return { source, target, ...(timeoutMs !== undefined && { timeoutMs }) };
  },
}));

function endpointOf(name: string): RuleEndpoint | undefined {
  const metadata = { name, namespace: "default" };
  if (name === "app")
    return { metadata, spec: { ruleEndpointType: "servicebus", properties: { service_port: "8080" } } };
  if (name === "portless") return { metadata, spec: { ruleEndpointType: "servicebus" } };
  return ["rest", "eventbus"].includes(name) ? { metadata, spec: { ruleEndpointType: name } } : undefined;
}
