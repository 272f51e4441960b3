/** Commands on the data of a cloudcore: backup, restore, repair and key rotation. */
export { backupOperation } from "./backup.ts";
export { repairOperation } from "./repair.ts";
export { restoreOperation } from "./restore.ts";
export { rotateKeyOperation } from "./rotate-key.ts";
export { finishSwap } from "./swap.ts";
