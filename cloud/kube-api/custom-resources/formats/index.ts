/** Formats of strings in schemas. */
export { hasFormat } from "./formats.ts";
