export { openCriRuntime, type CriRuntimeOptions } from "./runtime.ts";
