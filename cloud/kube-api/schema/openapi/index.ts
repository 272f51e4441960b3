/** What clients read of the kinds: OpenAPI v3 by group version, and Swagger (v2) of all, as JSON and as protobuf. */
export { openApiDocument } from "./v3.ts";
export { swaggerParts, type SwaggerPart } from "./v2.ts";
export { gnosticHead, gnosticPart } from "./gnostic.ts";
