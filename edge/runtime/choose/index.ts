/** Which container engine a node uses, and the runtime for it. */
export { describeEndpoint, findEndpoint, type FoundEndpoint } from "./find-endpoint.ts";
export { openRuntime, type RuntimeOptions } from "./open.ts";
export type { RuntimeEndpoint } from "./endpoint.ts";
