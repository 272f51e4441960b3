export { restartAtMs } from "./crash-backoff.ts";
export {
  currentSandbox,
  earlierRuns,
  historyOf,
  initsDone,
  mayRestart,
  sandboxName,
  type Role,
} from "./history.ts";
export { PodMemory, type PlanMemory, type StartFailure } from "./memory.ts";
export { oomScoreAdj } from "./oom-score.ts";
export { planPod, type Action, type PodOutcome, type Plan, type StopReason } from "./plan.ts";
export { resizeOf, type Resize } from "./resize.ts";
export { Resizer, type PendingResize, type ResizerDeps } from "./resizer.ts";
export { knownRuns, type KnownRuns } from "./runs.ts";
export { specHash } from "./spec-hash.ts";
