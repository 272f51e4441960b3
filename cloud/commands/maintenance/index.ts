/** What an operator does to the data of a cloudcore: keys, repair, backup and restore. */
export { backupOperation } from "./backup.ts";
export { repairOperation } from "./repair.ts";
export { restoreOperation } from "./restore.ts";
export { rotateKeyOperation } from "./rotate-key.ts";
export { finishSwap } from "./swap.ts";
