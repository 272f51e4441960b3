/** Engines of the Container Runtime Interface: containerd, CRI-O. */
export { examineCri, type CriExamination } from "./examine.ts";
export { openCriRuntime, type CriRuntimeOptions } from "./runtime.ts";
