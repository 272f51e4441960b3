export { ImageArchives } from "./archives.ts";
