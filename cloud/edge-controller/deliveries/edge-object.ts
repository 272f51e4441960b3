import { gateConditions, type KubeObject, type Pod } from "#shared/kube";
import type { DeliveredObject } from "#shared/topics";

/** Whether two versions of a pod differ in nothing an edge acts on: the status is its own, but for readiness gates. */
export function isSameForEdge(pod: Pod, old: Pod): boolean {
  return (
    Bun.deepEquals(pod.spec, old.spec) &&
    Bun.deepEquals(metaOf(pod), metaOf(old)) &&
    Bun.deepEquals(gateConditions(pod), gateConditions(old))
  );
}

function metaOf(object: KubeObject): Record<string, unknown> {
  return { ...object.metadata, resourceVersion: "", generation: 0 };
}

/** What is known of an object that no longer exists, for its deletion. */
export function goneOf(
  gone: Omit<DeliveredObject, "resourceVersion"> & { resourceVersion?: string },
): KubeObject {
  const { apiVersion, kind, namespace, name, uid, resourceVersion = "0" } = gone;
  return { apiVersion, kind, metadata: { namespace, name, uid, resourceVersion } };
}
