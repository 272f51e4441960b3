/** Gives each namespace its default ServiceAccount and CA, and empties namespaces that are deleted. */
export { startNamespaceController } from "./controller.ts";
