export { managerMethods, type ManagerParts } from "./manager.ts";
