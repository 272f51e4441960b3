export { pullSecretTexts, StartError, toStartError } from "./images.ts";
export { NodeImages, type ImagesConfig } from "./node-images.ts";
export { checkItem } from "#edge/edged/images/jobs";
