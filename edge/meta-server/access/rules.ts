import { isRecord } from "#shared/json";

/** One rule of a SelfSubjectRulesReview. */
export interface ResourceRule {
  readonly verbs: readonly string[];
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames: readonly string[];
}

export interface Access {
  readonly verb: string;
  readonly group: string;
  /** with its subresource: "pods/log" */
  readonly resource: string;
  readonly name: string;
}

/** Whether rules allow it, as RBAC does (`rbacv1helpers.RuleAllows`). */
export function isAllowed(rules: readonly ResourceRule[], access: Access): boolean {
  return rules.some(
    ({ verbs, apiGroups, resources, resourceNames }) =>
      covers(verbs, access.verb) &&
      covers(apiGroups, access.group) &&
      coversResource(resources, access.resource) &&
      (resourceNames.length === 0 || (access.name !== "" && resourceNames.includes(access.name))),
  );
}

function covers(list: readonly string[], wanted: string): boolean {
  return list.includes("*") || list.includes(wanted);
}

function coversResource(list: readonly string[], wanted: string): boolean {
  const [, subresource] = wanted.split("/");
  return covers(list, wanted) || (subresource !== undefined && list.includes(`*/${subresource}`));
}

/** The rules in the status of a SelfSubjectRulesReview, or in a stored row. */
export function readRules(value: unknown): ResourceRule[] {
  return (Array.isArray(value) ? value : []).filter(isRecord).map((rule) => ({
    verbs: textsOf(rule["verbs"]),
    apiGroups: textsOf(rule["apiGroups"]),
    resources: textsOf(rule["resources"]),
    resourceNames: textsOf(rule["resourceNames"]),
  }));
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}
