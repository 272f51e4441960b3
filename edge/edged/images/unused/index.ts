export { ImageAges } from "./image-ages.ts";
export { ImageGc } from "./image-gc.ts";
export { isDiskFull, type GcPolicy } from "./removable.ts";
