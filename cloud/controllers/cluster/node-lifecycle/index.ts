/** Notices silent nodes, and keeps node taints and pod readiness in step with node conditions. */
export { startNodeLifecycleController } from "./controller.ts";
