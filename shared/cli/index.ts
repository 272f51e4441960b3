/**
 * What both executables share around their modules: command line, data directory with its lock, signals, and the
 * looks of `check`. `runProgram` never throws; its exit codes are 0 done, 1 failed, 2 misused or misconfigured.
 */
export { type Asked, type CommandGrammar, type Options } from "./arguments.ts";
export { lockFile, openDataDir, readPorts } from "./data-dir.ts";
export { fail, formatFinding, ok, warn, type Finding } from "./findings.ts";
export { processHost, type Host, type SignalName } from "./host.ts";
export {
  checkAside,
  checkCertificate,
  checkDataDir,
  checkDisk,
  checkWrites,
  checkPort,
  checkPrivate,
  checkTcp,
  type PortToCheck,
} from "./probes.ts";
export { lockHolder } from "./process-lock.ts";
export { runProgram, type Operation, type ProcessDeps, type Program } from "./program.ts";
