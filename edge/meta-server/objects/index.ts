/** The Kubernetes objects that the node has, as its API shows them. */
export { apiVersionOf, deviceKind, findKind, heldKinds, modelKind, podKind, type HeldKind } from "./kinds.ts";
export { NodeObjects, type ObjectEvent, type ShowDevice } from "./node-objects.ts";
export { isNodeVersion } from "./versions.ts";
