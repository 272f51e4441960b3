/** Logs of containers in the files of the CRI (`design-proposals/node/kubelet-cri-logging.md` of Kubernetes). */
export { countedLogs, removeLog } from "./files.ts";
export { readLog, type LogSource } from "./reader.ts";
export { rotateLog, type LogLimits } from "./rotation.ts";
