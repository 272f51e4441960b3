/** The Kubernetes objects that the node has, as its API shows them. */
export { apiVersionOf, findKind, heldKinds, podKind, type HeldKind } from "./kinds.ts";
export { NodeObjects, type ObjectEvent } from "./node-objects.ts";
export { isNodeVersion } from "./versions.ts";
