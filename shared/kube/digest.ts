import { createHash } from "node:crypto";
import type { KubeObject } from "./meta.ts";
import type { Pod } from "./pod.ts";

/**
 * A short digest of what an edge acts on: the object without its status and the bookkeeping of the API server.
 * Objects with equal digests differ in nothing that matters at the edge.
 */
export function contentDigest(object: KubeObject): string {
  return createHash("sha256")
    .update(JSON.stringify(contentOf(object)))
    .digest("base64url")
    .slice(0, 22);
}

/**
 * What others say about the readiness gates of a pod: the part of its status that is not the node's own. Undefined for pods
 * without gates.
 */
export function gateConditions({
  spec,
  status,
}: Pick<Partial<Pod>, "spec" | "status">): Record<string, string | undefined> | undefined {
  const gates = spec?.readinessGates ?? [];
  if (gates.length === 0) return undefined;
  const given = new Map((status?.conditions ?? []).map((one) => [one.type, one.status]));
  return Object.fromEntries(gates.map(({ conditionType }) => [conditionType, given.get(conditionType)]));
}

/** Field of a delivered pod for the Services of its namespace. A change of them is no reason to deliver it again. */
export const serviceLinksField = "kubeedgeServices";

/** Field of a delivered pod with a RuntimeClass: the handler of that, which never changes; empty when there is no such class. */
export const runtimeHandlerField = "kubeedgeRuntimeHandler";

/** The object without status, resourceVersion, generation, managedFields and what holds at the time of a delivery. */
function contentOf(object: KubeObject): Record<string, unknown> {
  const {
    status: _status,
    metadata,
    apiVersion: _apiVersion,
    kind: _kind,
    [serviceLinksField]: _links,
    [runtimeHandlerField]: _handler,
    ...rest
  } = object;
  const { resourceVersion: _version, generation: _generation, ...meta } = metadata;
  const gates = object.kind === "Pod" ? gateConditions(object as Pod) : undefined;
  return { ...rest, metadata: { ...meta, managedFields: undefined }, ...(gates ? { gates } : {}) };
}
