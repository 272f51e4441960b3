/** What an operator does to the data of a cloudcore: keys, repair, backup and restore. */
export { repairOperation } from "./repair.ts";
export { rotateKeyOperation } from "./rotate-key.ts";
