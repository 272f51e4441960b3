/** Answers of the node itself, from what it has. */
export { DeviceWrites, type WriteRequest } from "./device-writes.ts";
export { documentedGroupVersions, nodeVersion } from "./discovery.ts";
export { LocalAnswers, type LocalAnswerOptions, type LocalRequest } from "./local-answers.ts";
export { RequestRefusal, refuse } from "./refusal.ts";
export { parseTarget, type ResourceAccess, type Target } from "./target.ts";
