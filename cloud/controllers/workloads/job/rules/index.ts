/** What a Job needs, decided by its specification, its status and its pods alone. */
export { finishedBy, setCondition, type ConditionUpdate } from "./conditions.ts";
export { formatIndexes } from "./indexes.ts";
export { indexKey, isIndexed, isTracked, trackingFinalizer } from "./job-pods.ts";
export { lookAt } from "./look.ts";
export { failureAnnotations, limitsIndexes } from "./per-index.ts";
export { planPods } from "./pod-plan.ts";
export { settle } from "./tally.ts";
export { deadlineInMs, type Verdict } from "./verdict.ts";
export type { JobWorld, NewPod } from "./world.ts";
