import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import { LogBound } from "#edge/runtime/usage";
import { countedLogs } from "./files.ts";
import { rotateLog, type RotationOptions } from "./rotation.ts";

/** The log of one run of a container. */
export interface KeptLog {
  readonly id: string;
  readonly path: string;
  /** Only then its engine writes to it. */
  readonly isRunning: boolean;
}

export interface KeeperOptions extends RotationOptions {
  /** Of all containers together; undefined: no bound. */
  readonly totalBytes: number | undefined;
  readonly everyMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly list: () => Promise<readonly KeptLog[]>;
}

/** Rotates and bounds logs in intervals, until it is disposed of: engines of the CRI leave that to their caller. */
export function keepLogs(options: KeeperOptions): Disposable {
  const bound = new LogBound(options.totalBytes, options.log);
  let isBusy = false;
  return options.clock.every(options.everyMs, () => {
    if (isBusy) return;
    isBusy = true;
    void keepOnce(options, bound).finally(() => (isBusy = false));
  });
}

/** Never rejects. */
async function keepOnce(options: KeeperOptions, bound: LogBound): Promise<void> {
  const { log } = options;
  const logs = await listed(options);
  for (const { id, path, isRunning } of logs) {
    if (!isRunning) continue;
    try {
      await rotateLog(id, path, options);
    } catch (error) {
      log.warn("cannot rotate the log of a container", { path, error: describeError(error) });
    }
  }
  try {
    bound.apply(logs.flatMap(({ path }) => countedLogs(path)));
  } catch (error) {
    log.warn("cannot bound the logs of containers", { error: describeError(error) });
  }
}

/** What there is now; nothing while the engine does not say. */
async function listed({ list, log }: KeeperOptions): Promise<readonly KeptLog[]> {
  try {
    return await list();
  } catch (error) {
    log.debug("cannot list the containers whose logs are rotated", { error });
    return [];
  }
}
