export { ImageAges } from "./image-ages.ts";
export { ImageGc } from "./image-gc.ts";
export type { GcPolicy } from "./removable.ts";
