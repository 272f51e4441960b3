import { join } from "node:path";
import { decodeBody, findKind, type FieldValidation } from "#cloud/kube-api/kinds";
import { runScenarios } from "#internal/test/support/scenario/scenario.ts";

runScenarios(join(import.meta.dir, "scenarios"), () => ({
  decode: ({ options, input: [body = null] }) => {
    const path = options.get("kind") ?? "";
    const kind = findKind(path.slice(0, path.lastIndexOf("/")), path.slice(path.lastIndexOf("/") + 1));
    if (!kind) throw new Error(`no kind ${path}`);
    const outcome = decodeBody(kind, body, { validation: options.get("validation") as FieldValidation });
    return outcome.ok
      ? { object: outcome.value, warnings: outcome.warnings }
      : { message: outcome.status.message };
  },
}));
