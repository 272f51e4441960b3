/** Shell scripts that start programs. */
export { commandShell, fileNames, supervisorScript, type CommandInput, type ProgramStart } from "./shells.ts";
export { findTools, needTools, systemPath, type Tools } from "./tools.ts";
export { viewCommands } from "./view.ts";
