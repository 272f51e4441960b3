/** Logs of pods, processes in them and connections to them: what the API checks before a node is asked, and how it answers. */
export { answerPodStream, type PodStreamParts, type PodStreamRequested } from "./answer-pod-stream.ts";
export { asRefusal, NodeStreams, type OpenNodeStream } from "./node-streams.ts";
export { PodBridges } from "./pod-bridges.ts";
