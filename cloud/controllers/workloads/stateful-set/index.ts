/** Keeps the numbered pods of each StatefulSet, and their claims. */
export { startStatefulSetController } from "./controller.ts";
