/** Pods from files on this node, as kubelet's static pods. */
export { StaticPods, type StaticPodsDeps } from "./static-pods.ts";
