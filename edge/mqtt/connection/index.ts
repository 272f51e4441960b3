export type { InnerClient, Reader } from "./client.ts";
export { acknowledged, window } from "./in-flight.ts";
export { readerOf, type ReaderOptions } from "./reader.ts";
export { inboxOf, tame, type TameOptions } from "./take-over.ts";
