/** Objects of custom resources in other versions, converted by the webhooks of their definitions. */
export { ConvertedPages } from "./converted-pages.ts";
export { selectConverted } from "./select-converted.ts";
export { Conversions, type ConversionParts } from "./conversions.ts";
