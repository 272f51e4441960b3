import { expect, test } from "bun:test";
import { join } from "node:path";
import { admitCreate, admitUpdate, decodeBody, findKind, type KindInfo } from "#cloud/kube-api/kinds";
import { runScenarios } from "#internal/test/support/scenario/scenario.ts";
import { asText, cloneJson, isObject, recordOf, type Json, type JsonObject } from "#shared/json";

const now = "2026-01-01T00:00:00Z";

/** `create` and `update` of a spec, the kind's smallest one where nothing is said; answered with causes or the stored spec. */
runScenarios(join(import.meta.dir, "scenarios"), () => {
  let stored: JsonObject = {};
  return {
    create: ({ options, input: [change] }) => {
      const kind = kindOf(options.get("kind") ?? "Job");
      const outcome = admitCreate(kind, decoded(kind, objectOf(kind, options.get("name") ?? "j", change)), {
        now,
      });
      if (!outcome.ok)
        return outcome.status.details?.causes?.map(({ field, message }) => `${field}: ${message}`);
      stored = outcome.value;
      const shown = options.get("show");
      if (shown === undefined) return "created";
      return shown
        .split(".")
        .reduce<Json | undefined>((value, field) => recordOf(value)[field] as Json, stored["spec"]);
    },
    update: ({ options, input: [change] }) => {
      const kind = kindOf(asText(stored["kind"]));
      const current = cloneJson(stored);
      if (options.has("started")) current["status"] = { startTime: now };
      const next = decoded(kind, {
        ...cloneJson(current),
        spec: merged(current["spec"] ?? {}, change ?? {}),
      });
      const outcome = admitUpdate(kind, { next, current, via: "" });
      return outcome.ok
        ? "updated"
        : outcome.status.details?.causes?.map(
            ({ field, message }) => `${field}: ${message?.replace(/Invalid value: .*: /s, "")}`,
          );
    },
  };
});

function kindOf(kind: string): KindInfo {
  const found = findKind(
    kind === "ReplicationController" ? "v1" : kind === "PodDisruptionBudget" ? "policy/v1" : "batch/v1",
    kind,
  );
  if (!found) throw new Error(kind);
  return found;
}

function decoded(kind: KindInfo, body: JsonObject): JsonObject {
  const outcome = decodeBody(kind, body, { validation: "Strict" });
  if (!outcome.ok) throw new Error(outcome.status.message);
  return outcome.value;
}

const pod = { containers: [{ name: "c", image: "busybox:1" }] };
const job = { template: { spec: { restartPolicy: "Never", ...pod } } };
const smallest: Readonly<Record<string, JsonObject>> = {
  Job: job,
  CronJob: { schedule: "* * * * *", jobTemplate: { spec: job } },
  ReplicationController: { template: { metadata: { labels: { app: "a" } }, spec: pod } },
  PodDisruptionBudget: {},
};

function objectOf({ kind }: KindInfo, name: string, change: Json | undefined): JsonObject {
  const metadata = { name, namespace: "default", uid: "u-1" };
  return { kind, metadata, spec: merged(cloneJson(smallest[kind] ?? {}), change ?? {}) };
}

/** As a merge patch. */
function merged(value: Json, change: Json): Json {
  if (!isObject(change) || !isObject(value)) return change;
  const result: JsonObject = { ...value };
  for (const [key, part] of Object.entries(change)) {
    if (part === null) delete result[key];
    else result[key] = merged(result[key] ?? {}, part);
  }
  return result;
}

test("a schedule that takes long to read is refused", () => {
  const kind = kindOf("CronJob");
  const schedule = `${"0,".repeat(2050)}0 * * * *`;
  const outcome = admitCreate(kind, decoded(kind, objectOf(kind, "j", { schedule })), { now });
  expect(outcome).toMatchObject({
    ok: false,
    status: { details: { causes: [{ message: "Too long: must have at most 4096 bytes" }] } },
  });
});
