/** What is mounted on this machine, and how it comes and goes. */
export { isMounted, mountPoints, releaseAll, releasePoint, removePodDir } from "./mount-table.ts";
export { checkNfs, mountNfs, type NfsTools } from "./nfs.ts";
