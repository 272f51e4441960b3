/** Pods and what they read, on their way to the nodes. */
export { Downstream } from "./downstream.ts";
export { forEdge } from "./edge-object.ts";
