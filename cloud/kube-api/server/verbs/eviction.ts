import { deleteOptionsOf } from "#cloud/kube-api/http";
import { findKind, type KindInfo } from "#cloud/kube-api/kinds";
import { labelSelectorOf } from "#cloud/kube-api/kinds/validation";
import type { ObjectTarget, WriteOptions } from "#cloud/kube-api/objects";
import { parseObject } from "#cloud/kube-api/schema";
import { Refusal, refusals } from "#cloud/kube-api/status";
import { rfc3339 } from "#shared/clock";
import {
  childOf,
  cloneJson,
  ensureChild,
  isObject,
  itemsOf,
  metadataOf,
  numberOf,
  textMapOf,
  textOf,
  type Json,
  type JsonObject,
} from "#shared/json";
import { matchesLabelSelector } from "#shared/kube";
import type { SubresourceParts } from "./subresources.ts";

/** Evictions that the controller has not confirmed; more would make the budget too large (MaxDisruptedPodSize). */
const mostUnconfirmed = 2000;
/** Evictions of pods with one budget at once change it one after another; as EvictionsRetry. */
const mostAttempts = 20;
/** After which a budget that has changed is worth another try. */
const busySeconds = 10;

/**
 * `POST …/eviction`: a deletion that a PodDisruptionBudget may refuse (429); as pkg/registry/core/pod/storage/eviction.go.
 * @throws Refusal
 */
export async function evictPod(
  parts: SubresourceParts,
  target: ObjectTarget,
  { body, options }: { readonly body: Json; readonly options: WriteOptions },
): Promise<JsonObject> {
  const eviction = isObject(body) ? body : {};
  const given = isObject(eviction["deleteOptions"]) ? eviction["deleteOptions"] : {};
  const asked = deleteOptionsOf(given);
  const dryRun = options.dryRun || (asked.dryRun ?? []).length > 0;
  const name = textOf(metadataOf(eviction), "name");
  if (name !== "" && name !== target.name)
    throw refusals.badRequest("name in URL does not match name in Eviction object");
  // What the server changes for an eviction is not what its author may write.
  const { guard: _guard, ...rest } = options;
  const evicted = { ...rest, dryRun };
  await retried(() => spend(parts, target, evicted));
  await retried(() => markPod(parts, target, evicted));
  await parts.objects.delete(target, { ...asked, dryRun: dryRun ? ["All"] : [] });
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 };
}

/** Repeats what met a newer version of the object. */
async function retried(act: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await act();
    } catch (error) {
      const isConflict = error instanceof Refusal && error.status.code === 409;
      if (!isConflict || attempt >= mostAttempts) throw error;
    }
  }
}

/** Takes a disruption from the budget of the pod, if it has one and needs it. @throws Refusal */
async function spend(parts: SubresourceParts, target: ObjectTarget, options: WriteOptions): Promise<void> {
  const pod = parts.objects.read(target);
  if (isUnprotected(pod)) return;
  const [budget, ...others] = budgetsOf(parts, target, metadataOf(pod));
  if (!budget) return;
  if (others.length > 0)
    throw refusals.internalError(
      "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
    );
  if (!isReady(pod) && mayEvictUnready(parts.objects.read(budget))) return;
  const next = withDisruption(parts.objects.read(budget), {
    pod: target.name,
    now: rfc3339(parts.clock.nowMs()),
  });
  await parts.objects.update(budget, next, { ...options, via: "status" });
}

/** Pods that serve nobody: they have ended, have not started, or are going. */
function isUnprotected(pod: JsonObject): boolean {
  const phase = textOf(childOf(pod, "status"), "phase");
  return phase !== "Running" || metadataOf(pod)["deletionTimestamp"] !== undefined;
}

/** An absent selector selects no pod, an empty one every pod (policy/v1). */
function budgetsOf(
  { store }: SubresourceParts,
  { namespace }: ObjectTarget,
  pod: JsonObject,
): ObjectTarget[] {
  const kind = budgetKind();
  const labels = textMapOf(pod, "labels");
  return [...store.list("policy/poddisruptionbudgets", `${namespace}/`)]
    .map(({ revision }) => parseObject(store.text(revision) ?? "{}"))
    .filter((budget) => {
      const selector = childOf(childOf(budget, "spec"), "selector");
      return selector !== undefined && matchesLabelSelector(labelSelectorOf(selector), labels);
    })
    .map((budget) => ({ kind, namespace, name: textOf(metadataOf(budget), "name") }));
}

function isReady(pod: JsonObject): boolean {
  return itemsOf(childOf(pod, "status"), "conditions").some(
    (condition) => condition["type"] === "Ready" && condition["status"] === "True",
  );
}

/** A pod that is not ready may go by itself when its budget says so, or when enough others are healthy. */
function mayEvictUnready(budget: JsonObject): boolean {
  const status = childOf(budget, "status");
  const desired = numberOf(status, "desiredHealthy") ?? 0;
  if (textOf(childOf(budget, "spec"), "unhealthyPodEvictionPolicy") === "AlwaysAllow") return true;
  return desired > 0 && (numberOf(status, "currentHealthy") ?? 0) >= desired;
}

/** The budget after one more disruption. @throws Refusal when it allows none */
function withDisruption(
  budget: JsonObject,
  { pod, now }: { readonly pod: string; readonly now: string },
): JsonObject {
  const next = cloneJson(budget);
  const name = textOf(metadataOf(budget), "name");
  const generation = numberOf(metadataOf(budget), "generation") ?? 0;
  const status = ensureChild(next, "status");
  const allowed = numberOf(status, "disruptionsAllowed") ?? 0;
  if ((numberOf(status, "observedGeneration") ?? 0) < generation)
    throw refused(`The disruption budget ${name} is still being processed by the server.`, busySeconds);
  const disrupted = ensureChild(status, "disruptedPods");
  if (Object.keys(disrupted).length > mostUnconfirmed)
    throw refusals.forbidden(
      { group: "policy", plural: "poddisruptionbudgets" },
      name,
      "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
    );
  if (allowed <= 0) {
    const [desired, current] = ["desiredHealthy", "currentHealthy"].map(
      (field) => numberOf(status, field) ?? 0,
    );
    throw refused(`The disruption budget ${name} needs ${desired} healthy pods and has ${current} currently`);
  }
  disrupted[pod] = now;
  status["disruptionsAllowed"] = allowed - 1;
  return next;
}

function refused(cause: string, retryAfterSeconds?: number): Refusal {
  const message = "Cannot evict pod as it would violate the pod's disruption budget.";
  return refusals.disruptionRefused(message, cause, retryAfterSeconds);
}

/** Says in the pod why it goes, for failure policies of Jobs and for people. */
async function markPod(parts: SubresourceParts, target: ObjectTarget, options: WriteOptions): Promise<void> {
  const pod = cloneJson(parts.objects.read(target));
  const status = ensureChild(pod, "status");
  const others = itemsOf(status, "conditions").filter(
    (condition) => condition["type"] !== "DisruptionTarget",
  );
  const mark = {
    type: "DisruptionTarget",
    status: "True",
    reason: "EvictionByEvictionAPI",
    message: "Eviction API: evicting",
    lastProbeTime: null,
    lastTransitionTime: rfc3339(parts.clock.nowMs()),
  };
  status["conditions"] = [...others, mark];
  await parts.objects.update(target, pod, { ...options, via: "status" });
}

function budgetKind(): KindInfo {
  const kind = findKind("policy/v1", "PodDisruptionBudget");
  if (!kind) throw refusals.unknownResource();
  return kind;
}
