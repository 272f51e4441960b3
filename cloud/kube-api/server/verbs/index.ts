/** Answers requests about resources, a file per verb. What a request is of and who asks is known here; paths are not. */
export { answerResource } from "./answer-resource.ts";
export { subresourceOf } from "./subresources.ts";
export type { ResourceParts } from "./resource-request.ts";
