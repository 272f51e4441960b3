import { askedRevision } from "#cloud/kube-api/http";
import { resourceOf } from "#cloud/kube-api/objects";
import { refusals } from "#cloud/kube-api/status";
import { show, type ResourceParts, type ResourceRequest } from "./resource-request.ts";

/** @throws Refusal (NotFound) */
export function getObject(parts: ResourceParts, asked: ResourceRequest): Promise<Response> {
  const { compactedRevision: oldest, revision: newest } = parts.store;
  askedRevision(asked.query, { oldest, newest });
  const text = parts.store.get(resourceOf(asked.kind), `${asked.target.namespace}/${asked.target.name}`);
  if (text === undefined) throw refusals.notFound(asked.kind, asked.target.name);
  return show(parts, asked, { text, status: 200 });
}
