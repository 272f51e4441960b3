/** Servers that serve further API groups behind this one: APIServices, whether they are reached, and requests to them. */
export { Aggregation } from "./aggregation.ts";
export type { AggregatedVersion } from "./api-service.ts";
export { answerAggregated, type AggregatedRequested, type AnswerParts } from "./answer.ts";
export { priorityOf } from "./local-services.ts";
