import { asText, recordOf } from "#shared/json";
import type { KubeObject } from "#shared/kube";

export interface DeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: "Orphan" | "Background" | "Foreground";
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly dryRun?: readonly string[];
}

/** What a DELETE does to an object: removes it, updates it, or leaves it as it is. */
export type DeletePlan =
  | { readonly step: "remove" }
  | { readonly step: "update"; readonly object: KubeObject }
  | { readonly step: "keep" };

const foreground = "foregroundDeletion";
const orphan = "orphan";

/** Decides on a deletion, as `BeforeDelete` and `deletionFinalizersForGarbageCollection` of apiserver/registry. May change `object`. */
export function planDeletion(
  resource: string,
  object: KubeObject,
  options: DeleteOptions,
  nowMs: number,
): DeletePlan {
  const { metadata } = object;
  const before = JSON.stringify([metadata.finalizers, metadata.deletionTimestamp]);
  // Nothing is collected for Events: they own nothing.
  const policy = isEvents(resource) ? undefined : options.propagationPolicy;
  const finalizers = finalizersAfter(metadata.finalizers ?? [], policy);
  if (finalizers.length > 0) metadata.finalizers = finalizers;
  else delete metadata.finalizers;
  const grace = graceSeconds(resource, object, options);
  const held = finalizers.length > 0 || holdsContent(resource, object);
  if (metadata.deletionTimestamp !== undefined) {
    return again(object, {
      grace,
      held,
      changed: before !== JSON.stringify([metadata.finalizers, metadata.deletionTimestamp]),
    });
  }
  if (grace === 0 && !held) return { step: "remove" };
  metadata.deletionTimestamp = timeAfter(nowMs, grace);
  metadata.deletionGracePeriodSeconds = grace;
  if (metadata.generation !== undefined) metadata.generation += 1;
  if (resource === "/namespaces") object["status"] = { ...recordOf(object["status"]), phase: "Terminating" };
  return { step: "update", object };
}

/** A DELETE of an object that is being deleted can only shorten its grace period. */
function again(
  object: KubeObject,
  { grace, held, changed }: { grace: number; held: boolean; changed: boolean },
): DeletePlan {
  const { metadata } = object;
  const running = metadata.deletionGracePeriodSeconds ?? 0;
  if (grace === 0 && !held) return { step: "remove" };
  if (grace < running) {
    const started = Date.parse(metadata.deletionTimestamp ?? "") - running * 1000;
    metadata.deletionTimestamp = timeAfter(started, grace);
    metadata.deletionGracePeriodSeconds = grace;
    return { step: "update", object };
  }
  return changed ? { step: "update", object } : { step: "keep" };
}

/** Whether nothing holds an object any longer that is being deleted. */
export function isReleased(resource: string, object: KubeObject): boolean {
  const { metadata } = object;
  return (
    metadata.deletionTimestamp !== undefined &&
    (metadata.finalizers ?? []).length === 0 &&
    (metadata.deletionGracePeriodSeconds ?? 0) === 0 &&
    !holdsContent(resource, object)
  );
}

function finalizersAfter(
  finalizers: readonly string[],
  policy: DeleteOptions["propagationPolicy"],
): string[] {
  if (policy === undefined) return [...finalizers];
  const rest = finalizers.filter((name) => name !== foreground && name !== orphan);
  if (policy === "Foreground") return [...rest, foreground];
  return policy === "Orphan" ? [...rest, orphan] : rest;
}

function isEvents(resource: string): boolean {
  return resource === "/events" || resource === "events.k8s.io/events";
}

/** A namespace is removed when its own finalizers (`spec.finalizers`) are gone. */
function holdsContent(resource: string, object: KubeObject): boolean {
  if (resource !== "/namespaces") return false;
  const { finalizers } = recordOf(object["spec"]);
  return Array.isArray(finalizers) && finalizers.length > 0;
}

/** Of a pod without `terminationGracePeriodSeconds`, as its default. */
const defaultGraceSeconds = 30;
/** Seconds. Longer ones would exceed the range of dates: such a pod, and its namespace, could not be deleted. */
const longestGraceSeconds = 2 ** 31 - 1;

/** Only pods are deleted gracefully, and only those a node may be running. */
function graceSeconds(resource: string, object: KubeObject, options: DeleteOptions): number {
  if (resource !== "/pods") return 0;
  const { nodeName, terminationGracePeriodSeconds: podSeconds } = recordOf(object["spec"]);
  const { phase } = recordOf(object["status"]);
  if (asText(nodeName) === "" || phase === "Succeeded" || phase === "Failed") return 0;
  const asked =
    options.gracePeriodSeconds ?? (typeof podSeconds === "number" ? podSeconds : defaultGraceSeconds);
  return asked < 0 ? 1 : Math.min(asked, longestGraceSeconds);
}

function timeAfter(startMs: number, seconds: number): string {
  return `${new Date(startMs + seconds * 1000).toISOString().slice(0, 19)}Z`;
}
