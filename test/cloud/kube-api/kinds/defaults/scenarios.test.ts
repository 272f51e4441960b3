import { join } from "node:path";
import { applyDefaults } from "#cloud/kube-api/kinds/defaults";
import { findKind } from "#cloud/kube-api/kinds";
import { runScenarios } from "#internal/test/support/scenario/scenario.ts";
import type { Json, JsonObject } from "#shared/json";

runScenarios(join(import.meta.dir, "scenarios"), () => ({
  defaults: ({ options, input: [body] }) => {
    const path = options.get("kind") ?? "";
    const kind = findKind(path.slice(0, path.lastIndexOf("/")), path.slice(path.lastIndexOf("/") + 1));
    if (!kind) throw new Error(`no kind ${path}`);
    const object = structuredClone(body) as JsonObject;
    applyDefaults(kind, object);
    const fields = (options.get("at") ?? "").split(".").filter((field) => field !== "");
    return fields.reduce<Json | undefined>((value, field) => (value as JsonObject)[field], object);
  },
}));
