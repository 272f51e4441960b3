import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, itemsOf, textMapOf, textOf, textsOf, type JsonObject } from "#shared/json";
import { isEmptySelector, matchesLabelSelector, type LabelSelector } from "#shared/kube";
import { forbidden, invalid, required } from "./errors.ts";
import { validateLabels } from "./meta.ts";
import { labelValue, qualifiedName } from "./names.ts";

const operators = ["In", "NotIn", "Exists", "DoesNotExist"];

/** Checks a metav1.LabelSelector. */
export function validateSelector(selector: JsonObject | undefined, path: string): FieldError[] {
  const errors = validateLabels(textMapOf(selector, "matchLabels"), `${path}.matchLabels`);
  for (const [index, requirement] of itemsOf(selector, "matchExpressions").entries())
    errors.push(...validateRequirement(requirement, `${path}.matchExpressions[${index}]`));
  return errors;
}

function validateRequirement(requirement: JsonObject, path: string): FieldError[] {
  const operator = textOf(requirement, "operator");
  const values = textsOf(requirement, "values");
  const key = textOf(requirement, "key");
  const errors: FieldError[] = [];
  if (!operators.includes(operator))
    errors.push(invalid(`${path}.operator`, operator, "not a valid selector operator"));
  else if (operator.endsWith("In") && values.length === 0)
    errors.push(required(`${path}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
  else if (!operator.endsWith("In") && values.length > 0)
    errors.push(
      forbidden(`${path}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
    );
  errors.push(...qualifiedName(key).map((problem) => invalid(`${path}.key`, key, problem)));
  for (const [index, value] of values.entries())
    errors.push(...labelValue(value).map((problem) => invalid(`${path}.values[${index}]`, value, problem)));
  return errors;
}

/** A metav1.LabelSelector of an object; what has another shape is left out. */
export function labelSelectorOf(selector: JsonObject | undefined): LabelSelector {
  const matchExpressions = itemsOf(selector, "matchExpressions").map((one) => ({
    key: textOf(one, "key"),
    operator: textOf(one, "operator"),
    values: textsOf(one, "values"),
  }));
  return { matchLabels: textMapOf(selector, "matchLabels"), matchExpressions };
}

/** The selector of a workload must be there, be right and match its template's labels. */
export function validateWorkloadSelector(spec: JsonObject | undefined): FieldError[] {
  const selector = childOf(spec, "selector");
  if (selector === undefined) return [required("spec.selector")];
  const errors = validateSelector(selector, "spec.selector");
  const parsed = labelSelectorOf(selector);
  if (isEmptySelector(parsed))
    errors.push(invalid("spec.selector", {}, "empty selector is invalid for deployment"));
  else {
    const labels = textMapOf(childOf(childOf(spec, "template"), "metadata"), "labels");
    if (!matchesLabelSelector(parsed, labels))
      errors.push(
        invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"),
      );
  }
  return errors;
}
