/** What the API says about itself: versions, resources and schemas. */
export * as discovery from "./discovery.ts";
export { answerCheck, answerHealth, type HealthCheck } from "./health.ts";
export { documentAt, openApiIndex } from "./openapi.ts";
export { Swagger } from "./swagger.ts";
