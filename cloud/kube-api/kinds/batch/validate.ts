import { definitionName, type FieldError, type KindInfo } from "#cloud/kube-api/schema";
import { childOf, type JsonObject } from "#shared/json";
import { validateCronJob } from "./cron-job.ts";
import { validateJobUpdate } from "./job-update.ts";
import { validateJobName, validateJobSelector, validateJobSpec } from "./job.ts";

/** Errors of a defaulted Job or CronJob beside those of its metadata; none of any other kind. `current` is what an update replaces. */
export function validateBatch(kind: KindInfo, object: JsonObject, current?: JsonObject): FieldError[] {
  const name = kind.custom === undefined ? definitionName(kind) : "";
  if (name === "batch.v1.CronJob") return validateCronJob(object, current);
  return name === "batch.v1.Job" ? validateJob(object, current) : [];
}

function validateJob(object: JsonObject, current: JsonObject | undefined): FieldError[] {
  const changes = current === undefined ? [] : validateJobUpdate(object, current);
  const changed = new Set(changes.map(({ field }) => field));
  const errors = [
    ...validateJobSpec(childOf(object, "spec"), "spec"),
    ...(current === undefined ? [...validateJobName(object), ...validateJobSelector(object)] : []),
  ];
  return [...changes, ...errors.filter(({ field }) => !changed.has(field))];
}
