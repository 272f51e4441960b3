/** Which pods are ended when the node runs short of something, as kubelet's eviction manager does. */
export { Evictor, type ContainerUse, type EvictorDeps } from "./evictor.ts";
export { hardBytes } from "./thresholds.ts";
