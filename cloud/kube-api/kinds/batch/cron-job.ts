import { invalid, notNegative, notSupported, required, tooLong } from "#cloud/kube-api/kinds/validation";
import type { FieldError } from "#cloud/kube-api/schema";
import { longestSchedule, parseSchedule, timeZoneFault } from "#shared/cron";
import { childOf, textOf, type JsonObject } from "#shared/json";
import { validateJobSpec } from "./job.ts";

const policies = ["Allow", "Forbid", "Replace"];
/** The names of its Jobs end with a hyphen and ten digits, and names of Jobs have at most 63 characters. */
const longestName = 52;

export function validateCronJob(object: JsonObject, current: JsonObject | undefined): FieldError[] {
  const spec = childOf(object, "spec");
  const name = textOf(childOf(object, "metadata"), "name");
  const policy = textOf(spec, "concurrencyPolicy");
  const errors = [...validateSchedule(textOf(spec, "schedule")), ...validateTimeZone(spec)];
  if (current === undefined && name.length > longestName)
    errors.push(invalid("metadata.name", name, `must be no more than ${longestName} characters`));
  if (!policies.includes(policy)) errors.push(notSupported("spec.concurrencyPolicy", policy, policies));
  const numbers = ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"];
  const job = childOf(childOf(spec, "jobTemplate"), "spec");
  if (job?.manualSelector === true)
    errors.push(notSupported("spec.jobTemplate.spec.manualSelector", "true", ["nil", "false"]));
  return [...errors, ...notNegative(spec, numbers), ...validateJobSpec(job, "spec.jobTemplate.spec")];
}

function validateSchedule(schedule: string): FieldError[] {
  if (schedule === "") return [required("spec.schedule")];
  if (schedule.length > longestSchedule) return [tooLong("spec.schedule", longestSchedule)];
  if (schedule.includes("TZ"))
    return [
      invalid("spec.schedule", schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"),
    ];
  const parsed = parseSchedule(schedule);
  return typeof parsed === "string" ? [invalid("spec.schedule", schedule, parsed)] : [];
}

function validateTimeZone(spec: JsonObject | undefined): FieldError[] {
  if (spec?.timeZone === undefined) return [];
  const name = textOf(spec, "timeZone");
  const fault = timeZoneProblem(name);
  return fault === undefined ? [] : [invalid("spec.timeZone", name, fault)];
}

function timeZoneProblem(name: string): string | undefined {
  if (name === "") return "timeZone must be nil or non-empty string";
  if (name.toLowerCase() === "local")
    return "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
  return timeZoneFault(name);
}
