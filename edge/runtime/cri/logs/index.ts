/** Logs of containers in the files of the CRI (`design-proposals/node/kubelet-cri-logging.md` of Kubernetes). */
export { removeLog } from "./files.ts";
export { keepLogs, type KeptLog } from "./keeper.ts";
export { readLog, type LogSource } from "./reader.ts";
export { rotateLog, type LogLimits } from "./rotation.ts";
