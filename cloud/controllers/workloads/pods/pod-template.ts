import type { ResourceType } from "#cloud/kube-client";
import { controlledBy, type PodOwner } from "#cloud/controllers/framework";
import type { Pod } from "#shared/kube";

/** A pod of the owner's template, with a name that the API completes. */
export function podFromTemplate(type: ResourceType, owner: PodOwner): Pod {
  const { metadata = {}, spec } = owner.spec.template;
  const { name = "", namespace = "" } = owner.metadata;
  const { labels, annotations, finalizers } = metadata;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      generateName: `${name}-`,
      namespace,
      ...(labels && { labels }),
      ...(annotations && { annotations }),
      ...(finalizers && { finalizers }),
      ownerReferences: [controlledBy(type, owner)],
    },
    spec,
  };
}
