import { join } from "node:path";
import { findKind, tableCells, tableColumns } from "#cloud/kube-api/kinds";
import { runScenarios } from "#internal/test/support/scenario/scenario.ts";
import type { JsonObject } from "#shared/json";

const nowMs = Date.parse("2026-01-02T00:00:00Z");
const creationTimestamp = "2026-01-01T23:00:00Z";

runScenarios(join(import.meta.dir, "scenarios"), () => ({
  row: ({ options, input: [body] }) => {
    const path = options.get("kind") ?? "";
    const kind = findKind(path.slice(0, path.lastIndexOf("/")), path.slice(path.lastIndexOf("/") + 1));
    if (!kind) throw new Error(`no kind ${path}`);
    const { metadata, ...rest } = body as JsonObject;
    const object = { ...rest, metadata: { creationTimestamp, ...(metadata as JsonObject) } };
    const cells = tableCells(kind, object, nowMs);
    const named = tableColumns(kind).map(({ name }, index) => [name, cells[index] ?? null] as const);
    const wanted = options.get("columns")?.split(",");
    return Object.fromEntries(
      named.filter(([name]) => wanted === undefined || wanted.includes(name.replaceAll(" ", "-"))),
    );
  },
}));
