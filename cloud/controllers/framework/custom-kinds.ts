import { resources, type KubeClient, type ResourceType } from "#cloud/kube-client";
import type { KubeObject } from "#shared/kube";

export interface Scale extends KubeObject {
  spec?: { replicas?: number };
  status?: { replicas?: number; selector?: string };
}

interface Definition extends KubeObject {
  spec: { group: string; names: { kind: string; plural: string }; scope: string };
}

/** The collection of a kind of custom resources; undefined when there is no such kind. */
export async function findCustom(
  kube: KubeClient,
  wanted: Pick<ResourceType, "group" | "version" | "kind">,
): Promise<ResourceType | undefined> {
  if (wanted.group === "") return undefined;
  const { items } = await kube.list<Definition>(resources.crds);
  const found = items.find(({ spec }) => spec.group === wanted.group && spec.names.kind === wanted.kind);
  return (
    found && { ...wanted, plural: found.spec.names.plural, namespaced: found.spec.scope === "Namespaced" }
  );
}
