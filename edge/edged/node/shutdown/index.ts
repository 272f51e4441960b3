/** What becomes of pods when the machine shuts down. */
export { shutDownPods, type ShutdownConfig } from "./shutdown.ts";
