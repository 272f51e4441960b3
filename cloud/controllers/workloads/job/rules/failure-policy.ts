import type { JobSpec, PodFailureRule } from "#cloud/controllers/framework";
import type { ContainerStatus, Pod } from "#shared/kube";
import { hasFailed } from "./job-pods.ts";

/** What the failure policy of a Job says about a failed pod: what to do, and why when the Job or the index fails. */
export interface PolicyMatch {
  readonly action: string;
  readonly message: string;
}

/** The first rule that a failed pod matches; as pod_failure_policy.go. */
export function matchFailurePolicy(spec: JobSpec, pod: Pod): PolicyMatch | undefined {
  const { rules = [] } = spec.podFailurePolicy ?? {};
  if (rules.length === 0 || !hasFailed(pod, spec)) return undefined;
  for (const [index, rule] of rules.entries()) {
    const found = rule.onExitCodes ? exitText(rule, pod) : conditionText(rule, pod);
    if (found !== undefined)
      return { action: rule.action, message: `${found} matching ${rule.action} rule at index ${index}` };
  }
  return undefined;
}

function exitText({ onExitCodes }: PodFailureRule, pod: Pod): string | undefined {
  const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
  const matches = ({ name, state }: ContainerStatus): boolean => {
    const code = state?.terminated?.exitCode ?? 0;
    if (!onExitCodes || code === 0 || (onExitCodes.containerName ?? name) !== name) return false;
    return onExitCodes.values.includes(code) === (onExitCodes.operator === "In");
  };
  const container = [...containerStatuses, ...initContainerStatuses].find(matches);
  if (!container) return undefined;
  return `Container ${container.name} for pod ${placeOf(pod)} failed with exit code ${container.state?.terminated?.exitCode ?? 0}`;
}

function conditionText({ onPodConditions = [] }: PodFailureRule, pod: Pod): string | undefined {
  const condition = pod.status?.conditions?.find(({ type, status }) =>
    onPodConditions.some((pattern) => pattern.type === type && pattern.status === status),
  );
  return condition && `Pod ${placeOf(pod)} has condition ${condition.type}`;
}

function placeOf({ metadata }: Pod): string {
  return `${metadata.namespace ?? ""}/${metadata.name ?? ""}`;
}
