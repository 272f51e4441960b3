import { existsSync, renameSync, rmSync } from "node:fs";
import type { Clock } from "#shared/clock";
import type { Logger } from "#shared/log";
import { rotatedFiles, rotatedPath, statFile } from "./files.ts";

/** Sizes of the log of one run of a container. */
export interface LogLimits {
  readonly fileBytes: number;
  readonly files: number;
}

export interface RotationOptions {
  readonly limits: LogLimits;
  readonly clock: Pick<Clock, "nowMs">;
  readonly log: Logger;
  /** Has the engine write to a new file (CRI `ReopenContainerLog`). */
  readonly reopen: (id: string) => Promise<void>;
}

/**
 * Rotates the log of a running container when it has become too large, as kubelet's container_log_manager; what was rotated is not
 * compressed. A log that is missing is opened again.
 */
export async function rotateLog(id: string, path: string, options: RotationOptions): Promise<void> {
  const { limits, clock, log, reopen } = options;
  const current = statFile(path);
  // edgecore was killed between both steps of a rotation: the engine writes to the renamed file.
  if (!current) return reopen(id);
  if (current.size < limits.fileBytes) return;
  const target = rotatedPath(path, clock.nowMs());
  // Twice in one second: it is done the next time.
  if (existsSync(target)) return;
  renameSync(path, target);
  try {
    await reopen(id);
  } catch (error) {
    // The engine writes to the renamed file: under its own name it is rotated the next time.
    if (!existsSync(path)) renameSync(target, path);
    log.warn("cannot rotate the log of a container", { container: id, error });
    return;
  }
  const old = rotatedFiles(path);
  for (const file of old.slice(0, Math.max(0, old.length - limits.files + 1))) rmSync(file, { force: true });
}
