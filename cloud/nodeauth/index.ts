/** What a node may do with its certificate, and how much of it: pure rules, applied by `cloud/edgecontroller`. */
export { isNodeLabel, judgeLabels, type JudgedLabels } from "./labels.ts";
export { mirrorPodFault } from "./mirror-pod.ts";
export { longestTokenSeconds, readTokenRequest, tokenFault, type NodeTokenRequest } from "./token-request.ts";
