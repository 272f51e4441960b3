import type { Clock } from "#shared/clock";
import type { ClockRow, MqttSessions } from "#edge/store";
import type { Journal } from "./journal.ts";

/** How often the time is written while something expires: after a power loss so much may be counted twice at most. */
const everyMs = 60_000;
/** 2024: a wall clock before that is not set yet, as on a machine without a battery for it. */
const earliestMs = 1_704_067_200_000;

export interface BrokerClockParts {
  readonly journal: Journal;
  readonly store: Pick<MqttSessions, "clock">;
  /** Whether anything on disk expires. */
  readonly isNeeded: () => boolean;
}

/**
 * The time in which expiries are counted, in milliseconds. It goes on while edgecore is down and never back: within one boot
 * of the machine by the kernel's count, across boots by the wall clock if that was and is set. Steps of the wall clock
 * while edgecore runs do not matter. A machine that does not know how long it was off counts nothing for that time, so that
 * no session is lost because of a wrong clock.
 */
export class BrokerClock {
  readonly #clock: Clock;
  readonly #journal: Journal;
  readonly #isNeeded: () => boolean;
  readonly #baseMs: number;
  #writtenMs = 0;
  #timer: Disposable | undefined;

  constructor(clock: Clock, { journal, store, isNeeded }: BrokerClockParts) {
    this.#clock = clock;
    this.#journal = journal;
    this.#isNeeded = isNeeded;
    this.#baseMs = startOf(store.clock(), clock) - clock.monotonicMs();
  }

  nowMs(): number {
    return Math.round(this.#baseMs + this.#clock.monotonicMs());
  }

  /** Seconds until a time, rounded up; 0 when it has come. */
  secondsUntil(atMs: number): number {
    return Math.max(0, Math.ceil((atMs - this.nowMs()) / 1000));
  }

  /** Something is being written that expires: the time goes into the same commit, unless it was written lately. */
  note(): void {
    if (this.#writtenMs === 0 || this.nowMs() - this.#writtenMs >= everyMs) this.#write();
  }

  /** edgecore ends: the time goes into the next commit, and is not written after that. */
  end(): void {
    if (this.#isNeeded()) this.#write();
    this.#timer?.[Symbol.dispose]();
  }

  #write(): void {
    const at = this.nowMs();
    this.#writtenMs = at;
    const { boot, ms } = this.#clock.bootTime();
    const row: ClockRow = { at, wall: this.#clock.nowMs(), boot, bootMs: Math.round(ms) };
    this.#journal.add("clock", (sessions) => sessions.putClock(row));
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#clock.after(everyMs, () => {
      if (!this.#isNeeded()) return;
      this.#write();
      this.#journal.commitSoon();
    });
  }
}

/** The time of the broker now, from what was written before. */
function startOf(before: ClockRow | undefined, clock: Clock): number {
  const wallMs = clock.nowMs();
  if (!before) return wallMs;
  const { boot, ms } = clock.bootTime();
  if (boot !== "" && boot === before.boot) return before.at + Math.max(0, Math.round(ms) - before.bootMs);
  const isKnown = before.wall >= earliestMs && wallMs >= earliestMs;
  return before.at + (isKnown ? Math.max(0, wallMs - before.wall) : 0);
}
