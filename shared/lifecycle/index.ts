export { running, type Running } from "./running.ts";
export { BoundedCache, type BoundedCacheOptions } from "./bounded-cache.ts";
export { backoff, type BackoffOptions } from "./backoff.ts";
export { KeyedQueue } from "./keyed-queue.ts";
export { KeyedWorker } from "./keyed-worker.ts";
export { note, watchLoop, type LoopWatchDeps } from "./loop-watch.ts";
export { withDeadline } from "./deadline.ts";
