import { toPod } from "#cloud/kube-api/schema";
import { forbiddenStatus } from "#cloud/kube-api/status";
import { childOf, ensureChild, itemsOf, numberOf, textMapOf, textOf, type JsonObject } from "#shared/json";
import { isMirrorPod, quantityNumber, type Status } from "#shared/kube";
import { limitContainers } from "./limit-ranges.ts";
import { mountToken } from "./token-volume.ts";

/** Objects that a new pod depends on, as far as they exist. */
export interface PodSurroundings {
  readonly account?: JsonObject | undefined;
  /** Of the name in its spec, or the one for pods without a name. */
  readonly priorityClass?: JsonObject | undefined;
  readonly runtimeClass?: JsonObject | undefined;
  readonly limitRanges?: readonly JsonObject[];
}

/**
 * What upstream's admission plugins add to a new pod (ServiceAccount, Priority, RuntimeClass, LimitRanger,
 * DefaultTolerationSeconds). Mirror pods have no account. @returns why the pod is refused
 */
export function admitPod(pod: JsonObject, around: PodSurroundings): Status | undefined {
  const spec = ensureChild(pod, "spec");
  if (!isMirrorPod(toPod(pod))) {
    giveAccount(spec, around.account);
    mountToken(pod, spec, around.account);
  }
  const fault = prioritize(spec, around.priorityClass) ?? addOverhead(spec, around.runtimeClass);
  if (fault !== undefined)
    return forbiddenStatus({ group: "", plural: "pods" }, textOf(childOf(pod, "metadata"), "name"), fault);
  limitContainers(spec, around.limitRanges ?? []);
  tolerateOutages(spec);
  return undefined;
}

/** Of a new pod and with each update (DefaultTolerationSeconds): a patch that replaces the tolerations keeps these. */
export function tolerateOutages(spec: JsonObject): void {
  tolerate(spec, "node.kubernetes.io/not-ready");
  tolerate(spec, "node.kubernetes.io/unreachable");
}

function giveAccount(spec: JsonObject, account: JsonObject | undefined): void {
  if (textOf(spec, "serviceAccountName") === "") spec.serviceAccountName = "default";
  spec.serviceAccount = textOf(spec, "serviceAccountName");
  const secrets = itemsOf(account, "imagePullSecrets");
  if (itemsOf(spec, "imagePullSecrets").length === 0 && secrets.length > 0)
    spec.imagePullSecrets = secrets.map((secret) => ({ ...secret }));
}

const builtinPriorities: Readonly<Record<string, number>> = {
  "system-cluster-critical": 2_000_000_000,
  "system-node-critical": 2_000_001_000,
};

function prioritize(spec: JsonObject, known: JsonObject | undefined): string | undefined {
  const name = textOf(spec, "priorityClassName");
  const builtin = builtinPriorities[name];
  if (name !== "" && builtin === undefined && known === undefined)
    return `no PriorityClass with name ${name} was found`;
  const wanted = builtin ?? numberOf(known, "value") ?? 0;
  const given = numberOf(spec, "priority") ?? wanted;
  if (given !== wanted)
    return `the integer value of priority (${given}) must not be provided in pod spec; priority admission controller computed ${wanted} from the given PriorityClass name`;
  spec.priority = wanted;
  if (name === "" && known) spec.priorityClassName = textOf(childOf(known, "metadata"), "name");
  return choosePolicy(spec, builtin === undefined ? textOf(known, "preemptionPolicy") : "");
}

function choosePolicy(spec: JsonObject, ofClass: string): string | undefined {
  const policy = ofClass || "PreemptLowerPriority";
  const asked = textOf(spec, "preemptionPolicy") || policy;
  spec.preemptionPolicy = policy;
  return asked === policy
    ? undefined
    : `the string value of PreemptionPolicy (${asked}) must not be provided in pod spec; priority admission controller computed ${policy} from the given PriorityClass name`;
}

function addOverhead(spec: JsonObject, known: JsonObject | undefined): string | undefined {
  const name = textOf(spec, "runtimeClassName");
  if (name !== "" && !known) return `pod rejected: RuntimeClass "${name}" not found`;
  const overhead = childOf(childOf(known, "overhead"), "podFixed");
  const asked = textMapOf(spec, "overhead");
  if (
    Object.keys(asked).length > 0 &&
    !isSameAmount(asked, textMapOf(childOf(known, "overhead"), "podFixed"))
  )
    return overhead
      ? "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
      : "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
  if (overhead) spec.overhead = { ...overhead };
  return direct(spec, childOf(known, "scheduling"));
}

/** The nodes of a runtime class, which the pod may not contradict. */
function direct(spec: JsonObject, scheduling: JsonObject | undefined): string | undefined {
  const selector = textMapOf(scheduling, "nodeSelector");
  const own = textMapOf(spec, "nodeSelector");
  const clash = Object.keys(selector).find((key) => own[key] !== undefined && own[key] !== selector[key]);
  if (clash !== undefined)
    return `conflict: runtimeClass.scheduling.nodeSelector[${clash}] = ${selector[clash]}, pod.spec.nodeSelector[${clash}] = ${own[clash]}`;
  const tolerations = itemsOf(scheduling, "tolerations").map((one) => ({ ...one }));
  if (Object.keys(selector).length > 0) spec.nodeSelector = { ...own, ...selector };
  if (tolerations.length > 0) spec.tolerations = [...itemsOf(spec, "tolerations"), ...tolerations];
  return undefined;
}

function isSameAmount(one: Record<string, string>, other: Record<string, string>): boolean {
  const names = [...new Set([...Object.keys(one), ...Object.keys(other)])];
  return names.every((name) => quantityNumber(one[name]) === quantityNumber(other[name]));
}

function tolerate(spec: JsonObject, key: string): void {
  const tolerations = itemsOf(spec, "tolerations");
  const tolerated = tolerations.some((one) => {
    const effect = textOf(one, "effect");
    const named = textOf(one, "key");
    return (named === key || named === "") && (effect === "NoExecute" || effect === "");
  });
  if (!tolerated) tolerations.push({ key, operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 });
  spec.tolerations = tolerations;
}
