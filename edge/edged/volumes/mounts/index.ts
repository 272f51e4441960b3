/** What is mounted on this machine, and how it comes and goes. */
export { mountPoints, releaseAll, releasePoint, removePodDir, type ReadMounts } from "./mount-table.ts";
export { runTool } from "./tool.ts";
export { checkNfs, mountNfs, type NfsTools } from "./nfs.ts";
