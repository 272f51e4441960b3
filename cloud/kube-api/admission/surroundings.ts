import type { PodSurroundings } from "#cloud/kube-api/kinds";
import { parseObject, toPod } from "#cloud/kube-api/schema";
import { refusals } from "#cloud/kube-api/status";
import type { RevisionStore } from "#cloud/kube-api/store";
import { childOf, textOf, type JsonObject } from "#shared/json";
import { isMirrorPod } from "#shared/kube";
import type { NewObject } from "./new-object.ts";

/** What a new pod depends on: its account, priority class and runtime class, and the LimitRanges of its namespace. */
export function podSurroundings(store: RevisionStore, namespace: string, pod: JsonObject): PodSurroundings {
  const spec = childOf(pod, "spec");
  const runtime = textOf(spec, "runtimeClassName");
  return {
    account: objectAt(store, "/serviceaccounts", `${namespace}/${accountOf(pod)}`),
    priorityClass: priorityClassOf(store, textOf(spec, "priorityClassName")),
    runtimeClass: runtime === "" ? undefined : objectAt(store, "node.k8s.io/runtimeclasses", `/${runtime}`),
    limitRanges: limitRangesOf(store, namespace),
  };
}

/** The name of the account of a pod, which is not defaulted yet. */
function accountOf(pod: JsonObject): string {
  const spec = childOf(pod, "spec");
  return textOf(spec, "serviceAccountName") || textOf(spec, "serviceAccount") || "default";
}

/**
 * A pod runs as an account that there is (plugin/pkg/admission/serviceaccount). Upstream waits a second for `default`; here a
 * namespace is stored together with it. @throws Refusal (Forbidden)
 */
export function checkAccount({ kind, name, object }: NewObject, store: RevisionStore): void {
  if (isMirrorPod(toPod(object))) return;
  const account = accountOf(object);
  const namespace = textOf(childOf(object, "metadata"), "namespace");
  if (store.find("/serviceaccounts", `${namespace}/${account}`) !== undefined) return;
  const why = `error looking up service account ${namespace}/${account}: serviceaccount "${account}" not found`;
  throw refusals.forbidden(kind, name, why);
}

export function limitRangesOf(store: RevisionStore, namespace: string): JsonObject[] {
  if (store.count("/limitranges") === 0) return [];
  return store.list("/limitranges", `${namespace}/`).flatMap(({ revision }) => {
    const text = store.text(revision);
    return text === undefined ? [] : [parseObject(text)];
  });
}

const priorityClasses = "scheduling.k8s.io/priorityclasses";

/** Of pods that name none it is the one with `globalDefault`. */
function priorityClassOf(store: RevisionStore, name: string): JsonObject | undefined {
  if (name !== "") return objectAt(store, priorityClasses, `/${name}`);
  for (const { revision } of store.list(priorityClasses)) {
    const known = parseObject(store.text(revision) ?? "{}");
    if (known["globalDefault"] === true) return known;
  }
  return undefined;
}

function objectAt(store: RevisionStore, resource: string, key: string): JsonObject | undefined {
  const text = store.get(resource, key);
  return text === undefined ? undefined : parseObject(text);
}
