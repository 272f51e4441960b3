import { isMirrorPod, podReferences, type Pod } from "#shared/kube";

/** `configmap/<namespace>/<name>`, `secret/…` or `persistentvolumeclaim/…`. */
export type Reference = string;

const types = {
  ConfigMap: "configmap",
  Secret: "secret",
  PersistentVolumeClaim: "persistentvolumeclaim",
} as const;

export function reference(kind: string, namespace: string, name: string): Reference {
  return `${kind}/${namespace}/${name}`;
}

/** Every ConfigMap, Secret and claim a pod uses, whether it is optional or not. */
export function referencesOf(pod: Pod): Set<Reference> {
  return new Set(named(pod, ["ConfigMap", "Secret", "PersistentVolumeClaim"]));
}

/** The claims a pod uses. */
export function claimsOf(pod: Pod): Reference[] {
  return named(pod, ["PersistentVolumeClaim"]);
}

/** A mirror pod is what its node claims: it gives the node no right to anything. */
function named(pod: Pod, kinds: readonly (keyof typeof types)[]): Reference[] {
  if (isMirrorPod(pod)) return [];
  const namespace = pod.metadata.namespace ?? "default";
  return podReferences(pod).flatMap(({ kind, name }) => {
    const known = kinds.find((one) => one === kind);
    return known && name !== "" ? [reference(types[known], namespace, name)] : [];
  });
}
