import { createHash } from "node:crypto";
import type { KubeObject } from "./meta.ts";

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

/** Field of a delivered pod for the Services of its namespace. A change of them is no reason to deliver it again. */
export const serviceLinksField = "kubeedgeServices";

/** The object without status, resourceVersion, generation, managedFields and what holds at the time of a delivery. */
function contentOf(object: KubeObject): Record<string, unknown> {
  const {
    status: _status,
    metadata,
    apiVersion: _apiVersion,
    kind: _kind,
    [serviceLinksField]: _links,
    ...rest
  } = object;
  const { resourceVersion: _version, generation: _generation, ...meta } = metadata;
  return { ...rest, metadata: { ...meta, managedFields: undefined } };
}
