import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { HistoryLimits, Store } from "#edge/store";

export interface HistoryTrimParts {
  readonly store: Pick<Store, "telemetry">;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Points arrive far slower than a minute's worth of them could matter to the disk. */
const trimEveryMs = 60_000;
/** Between two steps of a trim, so that other work of the node gets its turn. */
const stepEveryMs = 50;

/** Deletes history beyond the limits once a minute, in steps, until it is disposed. */
export function trimHistory(limits: HistoryLimits, { store, clock, log }: HistoryTrimParts): Disposable {
  let nextStep: Disposable | undefined;
  const step = (): void => {
    nextStep?.[Symbol.dispose]();
    nextStep = undefined;
    try {
      if (store.telemetry.trim(clock.nowMs(), limits)) nextStep = clock.after(stepEveryMs, step);
    } catch (error) {
      log.error("cannot trim the history of devices, retrying", { error: describeError(error) });
    }
  };
  const timer = clock.every(trimEveryMs, step);
  return {
    [Symbol.dispose]: () => {
      timer[Symbol.dispose]();
      nextStep?.[Symbol.dispose]();
    },
  };
}
