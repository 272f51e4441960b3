import { join } from "node:path";
import type { Job } from "#internal/cloud/controllers/framework/workloads.ts";
import { jobStatus } from "#internal/cloud/controllers/workloads/job/status.ts";
import { lookAt, planPods } from "#internal/cloud/controllers/workloads/job/rules/index.ts";
import {
  parseIndexes,
  formatIndexes,
  countIndexes,
} from "#internal/cloud/controllers/workloads/job/rules/indexes.ts";
import { runScenarios } from "#internal/test/support/scenario/scenario.ts";
import { asRecord, asText, recordOf, type Json } from "#shared/json";
import type { Pod } from "#shared/kube";

const nowMs = Date.UTC(2026, 0, 1, 12);

/**
 * A Job (its spec, and `status` in it) and its pods, by name: the phase, `+` for a pod that was counted already, and what else
 * matters. `look` answers with what one run of the controller decides. Times are seconds before now.
 */
runScenarios(join(import.meta.dir, "scenarios"), () => ({
  look: ({ input: [job, pods] }) => {
    const { world, verdict } = lookAt(jobOf(job), podsOf(pods), nowMs);
    const { create, remove, waitMs = 0 } = verdict ? { create: [], remove: [] } : planPods(world);
    const status = jobStatus(world, undefined, world.pods.active.length);
    return filled({
      verdict: verdict && `${verdict.type} ${verdict.reason}: ${verdict.message}`,
      succeeded: status.succeeded,
      failed: status.failed,
      uncounted: status.uncountedTerminatedPods,
      completedIndexes: status.completedIndexes,
      failedIndexes: status.failedIndexes,
      release: world.tally.done.map(nameOf),
      create: create.map(({ index }) => index ?? "pod"),
      remove: remove.map(nameOf),
      waitSeconds: waitMs / 1000,
    });
  },
  indexes: ({ input: [text], options }) => {
    const indexes = parseIndexes(asText(text), Number(options.get("completions")));
    return { text: formatIndexes(indexes), count: countIndexes(indexes) };
  },
}));

/** Without what is empty, or 0. */
function filled(answer: Record<string, unknown>): Record<string, unknown> {
  const isEmpty = (value: unknown): boolean =>
    !value || (typeof value === "object" && Object.keys(value).length === 0);
  return Object.fromEntries(Object.entries(answer).filter(([, value]) => !isEmpty(value)));
}

function nameOf({ metadata }: Pod): string {
  return metadata.name ?? "";
}

function jobOf(given: Json | undefined): Job {
  const { status = {}, restartPolicy = "Never", deleting, ...spec } = recordOf(given);
  const started = { startTime: ago(100), ...recordOf(status) };
  // The scenario has the fields of the API.
  return {
    metadata: {
      name: "j",
      namespace: "default",
      uid: "u",
      ...(deleting === true && { deletionTimestamp: ago(1) }),
    },
    spec: { selector: {}, template: { spec: { restartPolicy, containers: [] } }, ...spec },
    status: started,
  } as unknown as Job;
}

function podsOf(given: Json | undefined): Pod[] {
  return Object.entries(recordOf(given)).map(([name, value]) => {
    const { phase = "Running", ...rest } = asRecord(value) ?? { phase: value };
    return podOf(name, { ...rest, phase });
  });
}

function podOf(name: string, given: Record<string, unknown>): Pod {
  const { phase, created = 60, deleting, node = "a" } = given;
  const text = asText(phase);
  return {
    metadata: {
      name,
      namespace: "default",
      uid: name,
      creationTimestamp: ago(Number(created)),
      ...(!text.endsWith("+") && { finalizers: ["batch.kubernetes.io/job-tracking"] }),
      ...(deleting !== undefined && {
        deletionTimestamp: ago(0),
        deletionGracePeriodSeconds: Number(deleting),
      }),
      annotations: annotationsOf(given),
    },
    spec: { containers: [], ...(node !== "" && { nodeName: asText(node) }) },
    status: { phase: text.replace("+", "") as "Running", ...statusOf(text, given) },
  };
}

function annotationsOf({ index, failures }: Record<string, unknown>): Record<string, string> {
  return {
    ...(index !== undefined && { "batch.kubernetes.io/job-completion-index": `${Number(index)}` }),
    ...(failures !== undefined && { "batch.kubernetes.io/job-index-failure-count": `${Number(failures)}` }),
  };
}

function statusOf(phase: string, given: Record<string, unknown>): Pod["status"] {
  const { condition, restarts = 0, ended = 0, exit = 1 } = given;
  const terminated = { exitCode: Number(exit), finishedAt: ago(Number(ended)) };
  const state = /Succeeded|Failed/.test(phase) ? { terminated } : {};
  return {
    ...(condition !== undefined && { conditions: [{ type: asText(condition), status: "True" }] }),
    containerStatuses: [
      { name: "c", ready: false, image: "", imageID: "", restartCount: Number(restarts), state },
    ],
  };
}

function ago(seconds: number): string {
  return new Date(nowMs - seconds * 1000).toISOString();
}
