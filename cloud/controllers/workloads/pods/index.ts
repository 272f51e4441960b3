/** What controllers that own pods share: the pods of their owners, and what the state of a pod means. */
export { deletionOrder } from "./deletion-order.ts";
export { OwnedPods, type PodTexts } from "./owned-pods.ts";
export { availableInMs, byAge, isActive, isFinished, isPodReady, readySinceMs } from "./pod-state.ts";
export { hashLabel, sortFields, templateHash, templateText } from "./template-hash.ts";
export { podFromTemplate } from "./pod-template.ts";
export { resolveShare } from "./share.ts";
