/** Reads `configData`. */
export { ConfigFields } from "./config-fields.ts";
