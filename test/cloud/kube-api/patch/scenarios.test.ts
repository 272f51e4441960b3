import { join } from "node:path";
import { decodeApplied, findKind, kindsOfCrd } from "#cloud/kube-api/kinds";
import {
  patchObject,
  serverSideApply,
  strategicMerge,
  trackUpdate,
  type ApplyOptions,
} from "#cloud/kube-api/patch";
import type { KindInfo } from "#cloud/kube-api/schema";
import { Refusal } from "#cloud/kube-api/status";
import { leaves, spellPath, type ManagedEntry } from "#internal/cloud/kube-api/patch/managed-fields.ts";
import {
  runScenarios,
  type ScenarioBlock,
  type ScenarioCommands,
} from "#internal/test/support/scenario/scenario.ts";
import type { Json, JsonObject } from "#shared/json";
import { mergePatch } from "#shared/patch";

runScenarios(join(import.meta.dir, "scenarios"), () => ({
  merge: ({ input: [target = null, patch = null] }) => mergePatch(target, patch),
  json: ({ input: [target, body = null] }) => {
    const kind = findKind("v1", "ConfigMap");
    if (!kind) throw new Error("no ConfigMaps");
    return refusalOr(() => patchObject(kind, target as JsonObject, { type: "json", body }));
  },
  strategic: (block) => {
    const [current, patch] = block.input as JsonObject[];
    const outcome = strategicMerge(kindOf(block), current ?? {}, patch ?? {});
    return outcome.ok ? outcome.value : shortOf(outcome.status);
  },
  ...applyCommands(),
}));

function applyCommands(): ScenarioCommands {
  let current: JsonObject | undefined;
  let custom: KindInfo | undefined;
  const applyOptions = (block: ScenarioBlock): ApplyOptions =>
    applyOptionsOf(block, block.options.has("kind") || !custom ? kindOf(block) : custom);
  return {
    new: () => void (current = undefined),
    schema: (block) => void (custom = customKind(bodyOf(block))),
    refused: (block) => {
      const outcome = decodeApplied(applyOptions(block).kind, bodyOf(block), { validation: "Strict" });
      return outcome.ok ? outcome.value : shortOf(outcome.status);
    },
    apply: (block) =>
      refusalOr(() => {
        current = serverSideApply(current, bodyOf(block), applyOptions(block));
        return owned(current);
      }),
    update: (block) => {
      if (current === undefined) throw new Error("there is nothing to update");
      const { managedFields } = current["metadata"] as JsonObject;
      const body = bodyOf(block);
      const next = {
        ...body,
        metadata: {
          ...(body["metadata"] as JsonObject),
          managedFields,
        } as JsonObject,
      };
      current = trackUpdate(current, next, applyOptions(block));
      return owned(current);
    },
  };
}

function customKind(schema: JsonObject): KindInfo {
  const [kind] = kindsOfCrd({
    metadata: { name: "gauges.lab.example.com" },
    spec: {
      group: "lab.example.com",
      scope: "Namespaced",
      names: { plural: "gauges", kind: "Gauge" },
      versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: schema } }],
    },
  });
  if (!kind) throw new Error("no kind");
  return kind;
}

function applyOptionsOf(block: ScenarioBlock, kind: KindInfo): ApplyOptions {
  return {
    kind,
    manager: block.options.get("manager") ?? "",
    force: block.options.has("force"),
    apiVersion: kind.group === "" ? kind.version : `${kind.group}/${kind.version}`,
    now: "2026-01-01T00:00:00Z",
  };
}

/** The object without its managed fields, and who owns which of them. */
function owned(object: JsonObject): JsonObject {
  const { managedFields, ...metadata } = object["metadata"] as JsonObject;
  const entries = managedFields as unknown as ManagedEntry[];
  const owners = entries.map(({ manager, operation, fieldsV1 }) => [
    `${manager} ${operation}`,
    leaves(fieldsV1).map(spellPath),
  ]);
  return {
    object: { ...object, metadata },
    owners: Object.fromEntries(owners) as JsonObject,
  };
}

function bodyOf({ input: [body = {}] }: ScenarioBlock): JsonObject {
  return structuredClone(body) as JsonObject;
}

function kindOf({ options }: ScenarioBlock): KindInfo {
  const path = options.get("kind") ?? "";
  const kind = findKind(path.slice(0, path.lastIndexOf("/")), path.slice(path.lastIndexOf("/") + 1));
  if (!kind) throw new Error(`no kind ${path}`);
  return kind;
}

function refusalOr(answer: () => Json): unknown {
  try {
    return answer();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return shortOf(error.status);
  }
}

function shortOf({ code, reason, message }: Refusal["status"]): object {
  return { code, reason, message };
}
