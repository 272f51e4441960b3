import type { AttackedCloud, Reply } from "#internal/test/support/cloud/attacked-cloud.ts";

/** A small request that costs much, and what the API has to make of it. */
export interface Attack {
  readonly name: string;
  readonly prepare?: (cloud: AttackedCloud) => Promise<unknown>;
  readonly run: (cloud: AttackedCloud) => Promise<Reply>;
  /** Statuses of a right answer. */
  readonly answers: readonly number[];
}

export const maps = "/api/v1/namespaces/default/configmaps";
export const pods = "/api/v1/namespaces/default/pods";
export const deployments = "/apis/apps/v1/namespaces/default/deployments";
export const crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
export const jsonPatch = { type: "application/json-patch+json" };
export const mergePatch = { type: "application/merge-patch+json" };
export const strategicPatch = { type: "application/strategic-merge-patch+json" };
export const applyPatch = { type: "application/apply-patch+yaml" };

export function map(name: string, more: object = {}): object {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, ...more };
}

export function pod(name: string, spec: object): object {
  const containers = [{ name: "c", image: "i" }];
  return { apiVersion: "v1", kind: "Pod", metadata: { name }, spec: { containers, ...spec } };
}

export function list<T>(count: number, item: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => item(index));
}

export function record<T>(count: number, value: (index: number) => T): Record<string, T> {
  return Object.fromEntries(list(count, (index) => [`k${index}`, value(index)]));
}

export function ok(reply: Reply): Reply {
  if (reply.status >= 300) throw new Error(`${reply.status} ${reply.text.slice(0, 300)}`);
  return reply;
}
