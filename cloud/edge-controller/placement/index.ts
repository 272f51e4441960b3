/** Which pods are bound to which node, and what they read. */
export { Placement } from "./placement.ts";
export { reference, type Reference } from "./references.ts";
