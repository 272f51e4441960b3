/** Keeps a pod of each DaemonSet on every node that should have one. */
export { startDaemonSetController } from "./controller.ts";
