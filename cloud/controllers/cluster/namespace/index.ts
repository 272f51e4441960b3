/** Gives each namespace its default ServiceAccount and CA, and empties namespaces that are deleted. */
export { hasStatus } from "./contents.ts";
export { startNamespaceController } from "./controller.ts";
