import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import ruleCrd from "#conf/crds/rules_v1_rule.yaml" with { type: "text" };
import ruleEndpointCrd from "#conf/crds/rules_v1_ruleendpoint.yaml" with { type: "text" };
import { createRuleAdmission } from "#cloud/router";
import type { KubeObject } from "#shared/kube";
import { startTestServer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const apiVersion = "rules.kubeedge.io/v1";
const rules = `/apis/${apiVersion}/namespaces/default/rules`;
const endpoints = `/apis/${apiVersion}/namespaces/default/ruleendpoints`;

describe("admission of rules", () => {
  const dir = tempDir("rules");
  let server: TestServer;
  let count = 0;

  beforeAll(async () => {
    server = await startTestServer(dir.path, { admit: createRuleAdmission() });
    await server.api.ensureObjects(
      [ruleEndpointCrd, ruleCrd].map((text) => Bun.YAML.parse(text) as KubeObject),
    );
    for (const [name, spec] of [
      ["rest", { ruleEndpointType: "rest" }],
      ["bus", { ruleEndpointType: "eventbus" }],
      ["app", { ruleEndpointType: "servicebus", properties: { service_port: "8080" } }],
    ] as const)
      await server.call("POST", endpoints, { apiVersion, kind: "RuleEndpoint", metadata: { name }, spec });
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  });

  async function create(spec: object): Promise<string[]> {
    const metadata = { name: `rule-${(count += 1)}` };
    const { status, body } = await server.call("POST", rules, { apiVersion, kind: "Rule", metadata, spec });
    if (status === 201) return [];
    const { causes = [] } = body["details"] as unknown as { causes?: { field: string; message: string }[] };
    return causes.map(({ field, message }) => `${field}: ${message}`);
  }
  const toBus = (path: string, more: object = {}) => ({
    source: "rest",
    sourceResource: { path },
    target: "bus",
    targetResource: { topic: "t", ...more },
  });
  const between = (topic: string, target: string) => ({
    source: "bus",
    sourceResource: { topic, all_nodes: "true" },
    target: "bus",
    targetResource: { topic: target, all_nodes: "true" },
  });

  test.each([
    ["no target", { source: "rest", sourceResource: { path: "/a" }, targetResource: {} }, "spec.target"],
    ["an empty part in its path", toBus("/a//b"), "spec.sourceResource.path"],
    ["an escape in its path", toBus("/a/%2e%2e"), "spec.sourceResource.path"],
    ["a topic with a wildcard", toBus("/w", { topic: "a/#" }), "spec.targetResource.topic"],
    ["an unknown delivery", toBus("/d", { delivery: "maybe" }), "spec.targetResource.delivery"],
    ["all_nodes of false", toBus("/e", { all_nodes: "false" }), "spec.targetResource.all_nodes"],
    ["a node that cannot be", toBus("/f", { node_name: "A_b" }), "spec.targetResource.node_name"],
  ])("the schema refuses a rule with %s at its field", async (_what, spec, field) => {
    expect((await create(spec)).map((cause) => cause.slice(0, cause.indexOf(":")))).toEqual([field]);
  });

  test("an endpoint of an unknown type and one with a port that cannot be are refused", async () => {
    const refused: unknown[] = [];
    for (const spec of [
      { ruleEndpointType: "smtp" },
      { ruleEndpointType: "servicebus", properties: { service_port: "65536" } },
    ]) {
      const body = { apiVersion, kind: "RuleEndpoint", metadata: { name: "bad" }, spec };
      const answer = await server.call("POST", endpoints, body);
      refused.push([answer.status, answer.body["details"]?.["causes"]?.["0"]?.["field"] as unknown]);
    }
    expect(refused).toEqual([
      [422, "spec.ruleEndpointType"],
      [422, "spec.properties.service_port"],
    ]);
  });

  test("a rule that contradicts its endpoints is refused, one that comes before them is not", async () => {
    const spec = { ...toBus("/g"), target: "rest", targetResource: { resource: "http://example.com" } };
    expect(await create(spec)).toHaveLength(1);
    expect(await create({ ...spec, target: "later" })).toEqual([]);
  });

  test("a second rule for the same path is refused, whatever its placeholders are called", async () => {
    expect(await create(toBus("/rooms/{room}"))).toEqual([]);
    const [cause] = await create(toBus("rooms/{x}/"));
    expect(cause).toMatch(/^spec.sourceResource.path: .*"\/rooms\/\{\}".*the older rule "default\/rule-/);
  });

  test("rules whose messages would go in a circle are refused", async () => {
    expect(await create(between("a/#", "default/b/x"))).toEqual([]);
    expect(await create(between("b/+", "c"))).toEqual([]);
    const [cause] = await create(between("b/x", "default/a/{node}"));
    expect(cause).toContain("spec.targetResource.topic: ");
    expect(cause).toContain("come back");
  });
});
