export interface OldUpload {
  readonly id: number;
  readonly receivedAt: number;
  readonly bytes: number;
}

export interface Excess {
  /** Bytes that have to go. */
  readonly bytes: number;
  /** What was received before this time has to go. */
  readonly beforeMs: number;
}

/**
 * Up to which upload the oldest are dropped. Always from the oldest on, without a gap, so that a reader sees from the first id
 * that is left what it missed.
 * @returns the last id to drop, undefined when all may stay
 */
export function planTrim(oldest: readonly OldUpload[], excess: Excess): number | undefined {
  let last: number | undefined;
  let freed = 0;
  for (const { id, receivedAt, bytes } of oldest) {
    if (receivedAt >= excess.beforeMs && freed >= excess.bytes) break;
    last = id;
    freed += bytes;
  }
  return last;
}
