import type { Job, JobSpec } from "#cloud/controllers/framework";
import type { Pod } from "#shared/kube";
import type { ConditionUpdate } from "./conditions.ts";
import { matchFailurePolicy } from "./failure-policy.ts";
import { countIndexes, eachIndex, parseIndexes, uniteIndexes, type Indexes } from "./indexes.ts";
import type { JobWorld } from "./world.ts";

/**
 * That a Job is going to end: the condition it gets while its pods still do. It is followed by `Failed` or `Complete`, with
 * the same reason, when none is left; as Kubernetes does since 1.31.
 */
export type Verdict = ConditionUpdate & { readonly type: "FailureTarget" | "SuccessCriteriaMet" };

/** Whether a Job ends now, and why; as syncJob of job_controller.go. */
export function judge(world: JobWorld): Verdict | undefined {
  return formerVerdict(world.job) ?? failureOf(world) ?? successOf(world);
}

/** What was decided stays so. */
function formerVerdict({ status }: Job): Verdict | undefined {
  for (const { type, status: value, reason = "", message = "" } of status?.conditions ?? [])
    if (value === "True" && (type === "FailureTarget" || type === "SuccessCriteriaMet"))
      return { type, status: "True", reason, message };
  return undefined;
}

function failureOf(world: JobWorld): Verdict | undefined {
  const { job, pods, tally, nowMs } = world;
  const { spec } = job;
  const rule = pods.all.map((pod) => matchFailurePolicy(spec, pod)).find((one) => one?.action === "FailJob");
  if (rule) return fail("PodFailurePolicy", rule.message);
  if (tally.failed > (spec.backoffLimit ?? 6) || hasRestartedTooOften(spec, pods.active))
    return fail("BackoffLimitExceeded", "Job has reached the specified backoff limit");
  if ((deadlineInMs(job, nowMs) ?? 1) <= 0)
    return fail("DeadlineExceeded", "Job was active longer than specified deadline");
  return indexFailure(world);
}

/** With `OnFailure` containers are restarted on the node, and no pod fails; as pastBackoffLimitOnFailure. */
function hasRestartedTooOften({ template, backoffLimit = 6 }: JobSpec, active: readonly Pod[]): boolean {
  if (template.spec.restartPolicy !== "OnFailure") return false;
  const restarts = active
    .flatMap(({ status }) => [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])])
    .reduce((sum, { restartCount }) => sum + restartCount, 0);
  return backoffLimit === 0 ? restarts > 0 : restarts >= backoffLimit;
}

/** Milliseconds until the Job may no longer be active; undefined without a deadline, and while it does not run. */
export function deadlineInMs({ spec, status }: Job, nowMs: number): number | undefined {
  const start = Date.parse(status?.startTime ?? "");
  if (spec.activeDeadlineSeconds === undefined || spec.suspend === true || Number.isNaN(start))
    return undefined;
  return start + spec.activeDeadlineSeconds * 1000 - nowMs;
}

function indexFailure({ job, tally, failedIndexes }: JobWorld): Verdict | undefined {
  const { completions = 0, maxFailedIndexes = Infinity } = job.spec;
  const failed = countIndexes(failedIndexes);
  if (failed > maxFailedIndexes)
    return fail(
      "MaxFailedIndexesExceeded",
      "Job has exceeded the specified maximal number of failed indexes",
    );
  const isOver =
    failed > 0 && countIndexes(uniteIndexes(tally.completed, eachIndex(failedIndexes))) >= completions;
  return isOver ? fail("FailedIndexes", "Job has failed indexes") : undefined;
}

function successOf({ job, pods, tally }: JobWorld): Verdict | undefined {
  const { completions } = job.spec;
  const rule = (job.spec.successPolicy?.rules ?? []).findIndex((one) =>
    isMet(one, tally.completed, completions),
  );
  if (rule >= 0) return succeed("SuccessPolicy", `Matched rules at index ${rule}`);
  const isEnough = completions === undefined ? tally.succeeded > 0 : tally.succeeded >= completions;
  return isEnough && pods.active.length === 0
    ? succeed("CompletionsReached", "Reached expected number of succeeded pods")
    : undefined;
}

type SuccessRule = NonNullable<NonNullable<JobSpec["successPolicy"]>["rules"]>[number];

function isMet(
  { succeededIndexes, succeededCount }: SuccessRule,
  completed: Indexes,
  completions = 0,
): boolean {
  const done = new Set(eachIndex(completed));
  const wanted =
    succeededIndexes === undefined ? undefined : [...eachIndex(parseIndexes(succeededIndexes, completions))];
  const met = wanted ? wanted.filter((index) => done.has(index)).length : done.size;
  return met > 0 && met >= (succeededCount ?? wanted?.length ?? Infinity);
}

function fail(reason: string, message: string): Verdict {
  return { type: "FailureTarget", status: "True", reason, message };
}

function succeed(reason: string, message: string): Verdict {
  return { type: "SuccessCriteriaMet", status: "True", reason, message };
}
