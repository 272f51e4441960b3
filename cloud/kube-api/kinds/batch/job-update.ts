import { invalid } from "#cloud/kube-api/kinds/validation";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, numberOf, sameMeaning, textOf, type JsonObject } from "#shared/json";

const immutableText = "field is immutable";
const fixedFields = [
  "selector",
  "completionMode",
  "podFailurePolicy",
  "backoffLimitPerIndex",
  "managedBy",
  "successPolicy",
];

export function validateJobUpdate(next: JsonObject, current: JsonObject): FieldError[] {
  const now = childOf(next, "spec") ?? {};
  const was = childOf(current, "spec") ?? {};
  const changed = fixedFields.filter((field) => !sameMeaning(now[field], was[field]));
  const errors = changed.map((field) => invalid(`spec.${field}`, now[field], immutableText));
  if (!sameMeaning(now.completions, was.completions) && !isElastic(now))
    errors.push(invalid("spec.completions", now.completions, immutableText));
  const template = childOf(was, "template");
  const comparable = maySchedule(current)
    ? (one?: JsonObject) => withoutScheduling(one)
    : (one?: JsonObject) => one;
  if (!sameMeaning(comparable(childOf(now, "template")), comparable(template)))
    errors.push(invalid("spec.template", now.template, immutableText));
  return errors;
}

/** An Indexed Job may be resized when parallelism and completions change together. */
function isElastic(spec: JsonObject): boolean {
  const completions = numberOf(spec, "completions");
  return (
    textOf(spec, "completionMode") === "Indexed" &&
    completions !== undefined &&
    completions === numberOf(spec, "parallelism")
  );
}

/** A queue may direct where the pods of a Job run that it has kept suspended so far. */
function maySchedule(current: JsonObject): boolean {
  const isSuspended = childOf(current, "spec")?.suspend === true;
  return isSuspended && childOf(current, "status")?.startTime === undefined;
}

function withoutScheduling(template: JsonObject | undefined): JsonObject {
  const { labels: _labels, annotations: _annotations, ...metadata } = childOf(template, "metadata") ?? {};
  const spec = { ...childOf(template, "spec") };
  for (const field of ["affinity", "nodeSelector", "tolerations", "schedulingGates"]) delete spec[field];
  return { ...template, metadata, spec };
}
