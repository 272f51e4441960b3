/** Logs, exec, attach and port-forward of the pods of this node. */
export { PodStreams, type PodStreamsOptions, type PodView } from "./pod-streams.ts";
