export { startAutoscaler } from "./controller.ts";
