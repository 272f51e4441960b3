import { randomUUID } from "node:crypto";
import type { Clock } from "#shared/clock";
import type { Stamp } from "#shared/wire";

/** What messages of this node are marked with: a random id, and the wall clock. */
export function stampOf(clock: Pick<Clock, "nowMs">): Stamp {
  return { id: () => randomUUID(), nowMs: () => clock.nowMs() };
}
