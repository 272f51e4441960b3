/** Logs, exec, attach and port-forward of the pods of this node. */
export { LogTails } from "./log-tails.ts";
export { PodStreams, type PodStreamsOptions, type PodView } from "./pod-streams.ts";
