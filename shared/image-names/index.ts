/** References to images, as Docker reads them. */
export { completeReference, isReference, parseReference, type ImageName } from "./image-names.ts";
