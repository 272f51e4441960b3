export { ensureImage, pullSecretTexts, StartError, toStartError } from "./images.ts";
