import type { ScalingHistory } from "./behavior.ts";

/** The longest stabilization window and policy period that the API takes. */
const longestWindowMs = 3_600_000;
const longestPeriodMs = 1_800_000;

/** What was recommended and done for one autoscaler: an entry each 15 s, for an hour at most. */
export class ScalingMemory implements ScalingHistory {
  recommendations: readonly { readonly atMs: number; readonly replicas: number }[];
  events: readonly { readonly atMs: number; readonly change: number }[] = [];

  /** The present size counts as recommended: after a start nothing shrinks before the window is over. */
  constructor(replicas: number, nowMs: number) {
    this.recommendations = [{ atMs: nowMs, replicas }];
  }

  /** @param replicas undefined: the metrics did not say */
  recommend(replicas: number | undefined, nowMs: number): void {
    if (replicas === undefined) return;
    const kept = this.recommendations.filter(({ atMs }) => atMs > nowMs - longestWindowMs);
    this.recommendations = [...kept, { atMs: nowMs, replicas }];
  }

  scaled(change: number, nowMs: number): void {
    const kept = this.events.filter(({ atMs }) => atMs > nowMs - longestPeriodMs);
    this.events = [...kept, { atMs: nowMs, change }];
  }
}
