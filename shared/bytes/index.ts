export { freeBytes } from "./free-bytes.ts";
export { textPayload, type TextPayload } from "./payload.ts";
