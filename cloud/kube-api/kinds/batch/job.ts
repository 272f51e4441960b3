import {
  dnsLabel,
  invalid,
  notNegative,
  notSupported,
  required,
  labelSelectorOf,
  qualifiedName,
  tooLong,
  validatePodTemplate,
} from "#cloud/kube-api/kinds/validation";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, numberOf, textMapOf, textOf, type JsonObject } from "#shared/json";
import { matchesLabelSelector } from "#shared/kube";
import { validateFailurePolicy } from "./failure-policy.ts";
import { validateSuccessPolicy } from "./success-policy.ts";

/** Indexes are kept in the status as text; with more of them it could become too large. */
const mostIndexes = 100_000;
const mostFailedIndexes = 10_000;

const jobNumbers = [
  "parallelism",
  "completions",
  "activeDeadlineSeconds",
  "backoffLimit",
  "ttlSecondsAfterFinished",
  "backoffLimitPerIndex",
  "maxFailedIndexes",
];

export function validateJobSpec(spec: JsonObject | undefined, path: string): FieldError[] {
  return [
    ...notNegative(spec, jobNumbers, path),
    ...validateMode(spec, path),
    ...validateIndexLimits(spec, path),
    ...validateManager(spec, path),
    ...validateReplacement(spec, path),
    ...validateFailurePolicy(spec, path),
    ...validateSuccessPolicy(spec, path),
    ...validateRestartPolicy(spec, path),
    ...validatePodTemplate(spec, `${path}.template`),
  ];
}

function validateRestartPolicy(spec: JsonObject | undefined, path: string): FieldError[] {
  const policy = textOf(childOf(childOf(spec, "template"), "spec"), "restartPolicy");
  return policy === "Always" || policy === ""
    ? [notSupported(`${path}.template.spec.restartPolicy`, policy, ["OnFailure", "Never"])]
    : [];
}

function validateMode(spec: JsonObject | undefined, path: string): FieldError[] {
  const mode = textOf(spec, "completionMode");
  if (mode === "" || mode === "NonIndexed") return [];
  if (mode !== "Indexed") return [notSupported(`${path}.completionMode`, mode, ["NonIndexed", "Indexed"])];
  const errors: FieldError[] = [];
  if (numberOf(spec, "completions") === undefined)
    errors.push(required(`${path}.completions`, "when completion mode is Indexed"));
  for (const field of ["parallelism", "completions"]) {
    const value = numberOf(spec, field) ?? 0;
    const text = `must be less than or equal to ${mostIndexes} when completion mode is Indexed`;
    if (value > mostIndexes) errors.push(invalid(`${path}.${field}`, value, text));
  }
  return errors;
}

function validateIndexLimits(spec: JsonObject | undefined, path: string): FieldError[] {
  const perIndex = numberOf(spec, "backoffLimitPerIndex");
  const most = numberOf(spec, "maxFailedIndexes");
  const errors: FieldError[] = [];
  if (perIndex !== undefined && textOf(spec, "completionMode") !== "Indexed")
    errors.push(invalid(`${path}.backoffLimitPerIndex`, perIndex, "requires indexed completion mode"));
  if (most === undefined) return errors;
  if (perIndex === undefined)
    errors.push(required(`${path}.backoffLimitPerIndex`, "when maxFailedIndexes is specified"));
  if (most > (numberOf(spec, "completions") ?? most))
    errors.push(invalid(`${path}.maxFailedIndexes`, most, "must be less than or equal to completions"));
  if (most > mostFailedIndexes)
    errors.push(
      invalid(`${path}.maxFailedIndexes`, most, `must be less than or equal to ${mostFailedIndexes}`),
    );
  return errors;
}

const longestManager = 63;

function validateManager(spec: JsonObject | undefined, path: string): FieldError[] {
  const manager = textOf(spec, "managedBy");
  if (manager === "") return [];
  const field = `${path}.managedBy`;
  if (manager.length > longestManager) return [tooLong(field, longestManager)];
  if (!manager.includes("/"))
    return [invalid(field, manager, 'must be a domain-prefixed path (such as "acme.io/foo")')];
  return qualifiedName(manager).map((problem) => invalid(field, manager, problem));
}

function validateReplacement(spec: JsonObject | undefined, path: string): FieldError[] {
  const policy = textOf(spec, "podReplacementPolicy");
  const policies = childOf(spec, "podFailurePolicy") ? ["Failed"] : ["Failed", "TerminatingOrFailed"];
  return policy === "" || policies.includes(policy)
    ? []
    : [notSupported(`${path}.podReplacementPolicy`, policy, policies)];
}

/** Pods of an Indexed Job are named for it and their index, which has to be a host name. */
export function validateJobName(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec");
  const name = textOf(childOf(object, "metadata"), "name");
  const completions = numberOf(spec, "completions") ?? 0;
  if (textOf(spec, "completionMode") !== "Indexed" || completions === 0) return [];
  const host = `${name}-${completions - 1}`;
  return dnsLabel(host).length === 0
    ? []
    : [invalid("metadata.name", name, `will not able to create pod with invalid DNS label: ${host}`)];
}

/** A selector has to select what the template makes, and, unless it is set by hand, this Job alone. */
export function validateJobSelector(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec");
  const metadata = childOf(object, "metadata");
  const selector = labelSelectorOf(childOf(spec, "selector"));
  const labels = textMapOf(childOf(childOf(spec, "template"), "metadata"), "labels");
  if (spec?.manualSelector === true) {
    if (childOf(spec, "selector") === undefined) return [required("spec.selector")];
    return matchesLabelSelector(selector, labels)
      ? []
      : [invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")];
  }
  const own = jobLabels(textOf(metadata, "name"), textOf(metadata, "uid"));
  const errors = Object.entries(own)
    .filter(([key, value]) => labels[key] !== value)
    .map(([key, value]) =>
      invalid(`spec.template.metadata.labels[${key}]`, labels[key] ?? "", `must be '${value}'`),
    );
  if (!matchesLabelSelector(selector, own))
    errors.push(invalid("spec.selector", selector.matchLabels ?? {}, "`selector` not auto-generated"));
  return errors;
}

/** The labels of a Job's pods: those of the API group, and those that older clients know. */
function jobLabels(name: string, uid: string): Record<string, string> {
  return {
    "controller-uid": uid,
    "job-name": name,
    "batch.kubernetes.io/controller-uid": uid,
    "batch.kubernetes.io/job-name": name,
  };
}
