import { join } from "node:path";
import {
  compareApiVersions,
  defaultObject,
  pruneObject,
  validateCrd,
  validateLists,
  validateValue,
} from "#cloud/kube-api/custom-resources";
import { runScenarios, type ScenarioBlock } from "#internal/test/support/scenario/scenario.ts";
import type { JsonObject } from "#shared/json";

runScenarios(join(import.meta.dir, "scenarios"), () => {
  let schema: JsonObject = {};
  return {
    schema: (block) => void (schema = bodyOf(block)),
    validate: (block) => [
      ...validateValue(schema, bodyOf(block)),
      ...validateLists(schema, bodyOf(block), block.input[1]),
    ],
    prune: (block) => {
      const object = bodyOf(block);
      return { unknown: pruneObject(schema, object).unknown, object };
    },
    default: (block) => {
      const object = bodyOf(block);
      return defaultObject(schema, object) ? object : "too large";
    },
    definition: (block) =>
      validateCrd(definitionOf(block)).map(({ field, message }) => `${field}: ${message}`),
    versions: ({ input: [versions] }) => (versions as string[]).toSorted(compareApiVersions),
  };
});

function definitionOf(block: ScenarioBlock): JsonObject {
  const spec: JsonObject = {
    group: "stable.example.com",
    scope: "Namespaced",
    names: { plural: "crontabs", singular: "crontab", kind: "CronTab", listKind: "CronTabList" },
    versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object" } } }],
    ...bodyOf(block),
  };
  return { metadata: { name: block.options.get("name") ?? "crontabs.stable.example.com" }, spec };
}

function bodyOf({ input: [body = {}] }: ScenarioBlock): JsonObject {
  return structuredClone(body) as JsonObject;
}
