import type { PodSurroundings } from "#cloud/kube-api/kinds";
import { parseObject } from "#cloud/kube-api/schema";
import type { RevisionStore } from "#cloud/kube-api/store";
import { childOf, textOf, type JsonObject } from "#shared/json";

/** What a new pod depends on: its account, priority class and runtime class, and the LimitRanges of its namespace. */
export function podSurroundings(store: RevisionStore, namespace: string, pod: JsonObject): PodSurroundings {
  const spec = childOf(pod, "spec");
  const account = textOf(spec, "serviceAccountName") || textOf(spec, "serviceAccount") || "default";
  const runtime = textOf(spec, "runtimeClassName");
  return {
    account: objectAt(store, "/serviceaccounts", `${namespace}/${account}`),
    priorityClass: priorityClassOf(store, textOf(spec, "priorityClassName")),
    runtimeClass: runtime === "" ? undefined : objectAt(store, "node.k8s.io/runtimeclasses", `/${runtime}`),
    limitRanges: limitRangesOf(store, namespace),
  };
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
