export { isAllowed } from "./access-review.ts";
export { createKubeClient } from "./client.ts";
export { clusterCaOf, type InlineServer, type KubeOptions } from "./credentials.ts";
export {
  ignoreMissing,
  isKubeError,
  KubeError,
  objectAt,
  resources,
  type KubeCallOptions,
  type Informer,
  type InformerHandler,
  type KubeClient,
  type KubeList,
  type ListOptions,
  type ObjectAt,
  type PatchOptions,
  type RemoveOptions,
  type ResourceType,
} from "./kube-client.ts";
export { createPassage, type Passage } from "./passage.ts";
