import {
  childOf,
  itemsOf,
  textMapOf,
  textOf,
  textsOf,
  type FieldError,
  type JsonObject,
} from "#cloud/kube-api/schema";
import { forbidden, invalid, required } from "./errors.ts";
import { validateLabels } from "./meta.ts";
import { labelValue, qualifiedName } from "./names.ts";

const operators = ["In", "NotIn", "Exists", "DoesNotExist"];

/** Checks a metav1.LabelSelector. */
export function validateSelector(selector: JsonObject | undefined, at: string): FieldError[] {
  const errors = validateLabels(textMapOf(selector, "matchLabels"), `${at}.matchLabels`);
  for (const [index, requirement] of itemsOf(selector, "matchExpressions").entries())
    errors.push(...validateRequirement(requirement, `${at}.matchExpressions[${index}]`));
  return errors;
}

function validateRequirement(requirement: JsonObject, at: string): FieldError[] {
  const operator = textOf(requirement, "operator");
  const values = textsOf(requirement, "values");
  const key = textOf(requirement, "key");
  const errors: FieldError[] = [];
  if (!operators.includes(operator))
    errors.push(invalid(`${at}.operator`, operator, "not a valid selector operator"));
  else if (operator.endsWith("In") && values.length === 0)
    errors.push(required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
  else if (!operator.endsWith("In") && values.length > 0)
    errors.push(
      forbidden(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
    );
  errors.push(...qualifiedName(key).map((problem) => invalid(`${at}.key`, key, problem)));
  for (const [index, value] of values.entries())
    errors.push(...labelValue(value).map((problem) => invalid(`${at}.values[${index}]`, value, problem)));
  return errors;
}

/** Whether a LabelSelector matches; an absent one matches nothing, an empty one everything. */
export function selectorMatches(
  selector: JsonObject | undefined,
  labels: Readonly<Record<string, string>>,
): boolean {
  if (selector === undefined) return false;
  for (const [key, value] of Object.entries(textMapOf(selector, "matchLabels")))
    if (!Object.hasOwn(labels, key) || labels[key] !== value) return false;
  return itemsOf(selector, "matchExpressions").every((requirement) =>
    requirementMatches(requirement, labels),
  );
}

function requirementMatches(requirement: JsonObject, labels: Readonly<Record<string, string>>): boolean {
  const key = textOf(requirement, "key");
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  const values = textsOf(requirement, "values");
  switch (textOf(requirement, "operator")) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    default:
      return false;
  }
}

/** A LabelSelector in the notation of kubectl: `a=b,c in (d,e),!f`. */
export function selectorText(selector: JsonObject | undefined): string {
  const equal = Object.entries(textMapOf(selector, "matchLabels")).map(([key, value]) => ({
    key,
    text: `${key}=${value}`,
  }));
  const others = itemsOf(selector, "matchExpressions").map((one) => ({
    key: textOf(one, "key"),
    text: requirementText(one),
  }));
  return [...equal, ...others]
    .sort((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key)))
    .map(({ text }) => text)
    .join(",");
}

function requirementText(requirement: JsonObject): string {
  const key = textOf(requirement, "key");
  const values = textsOf(requirement, "values").sort().join(",");
  const texts: Record<string, string> = {
    In: `${key} in (${values})`,
    NotIn: `${key} notin (${values})`,
    Exists: key,
    DoesNotExist: `!${key}`,
  };
  return texts[textOf(requirement, "operator")] ?? key;
}

/** The selector of a workload must be there, be right and match its template's labels. */
export function validateWorkloadSelector(spec: JsonObject | undefined): FieldError[] {
  const selector = childOf(spec, "selector");
  if (selector === undefined) return [required("spec.selector")];
  const errors = validateSelector(selector, "spec.selector");
  if (textMapEmpty(selector))
    errors.push(invalid("spec.selector", {}, "empty selector is invalid for deployment"));
  else {
    const labels = textMapOf(childOf(childOf(spec, "template"), "metadata"), "labels");
    if (!selectorMatches(selector, labels))
      errors.push(
        invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"),
      );
  }
  return errors;
}

function textMapEmpty(selector: JsonObject): boolean {
  return (
    Object.keys(textMapOf(selector, "matchLabels")).length === 0 &&
    itemsOf(selector, "matchExpressions").length === 0
  );
}
