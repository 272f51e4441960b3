/** Programs of this machine as the containers of pods, without an engine. */
export { isProcessId } from "./records.ts";
export { openProcessRuntime, type ProcessesConfig, type ProcessRuntimeOptions } from "./runtime.ts";
