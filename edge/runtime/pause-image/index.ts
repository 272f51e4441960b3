/** The image that sandboxes run, from bytes of this program. */
export { pauseArchive, pauseImageName, pauseLayer, pauseProgram, type PauseArchitecture } from "./program.ts";
export { imageArchive, pauseImageArchive, type ImageContent } from "./image-archive.ts";
