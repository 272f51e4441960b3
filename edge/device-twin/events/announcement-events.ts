import type { Clock } from "#shared/clock";
import type { DeviceEventRecorder } from "#shared/events";
import { repeatMs, settleMs } from "./periods.ts";

/** Topics whose problem is remembered: clients that publish announcements must not fill the memory. */
const mostTopics = 1000;

/** Events on the Node about announcements of discovery that cannot be used: one for all, every five minutes at most. */
export class AnnouncementEvents implements Disposable {
  readonly #recorder: DeviceEventRecorder;
  readonly #clock: Clock;
  /** Problem by topic. */
  readonly #problems = new Map<string, string>();
  #isPending = false;
  #timer: Disposable | undefined;

  constructor(recorder: DeviceEventRecorder, clock: Clock) {
    this.#recorder = recorder;
    this.#clock = clock;
  }

  /**
   * @param problem why an announcement cannot be used, or which part of it; undefined: it can be used
   * @returns whether the problem is new
   */
  add(topic: string, problem: string | undefined): boolean {
    if (this.#problems.get(topic) === problem) return false;
    this.#problems.delete(topic);
    if (problem === undefined || this.#problems.size >= mostTopics) return false;
    this.#problems.set(topic, problem);
    this.#isPending = true;
    this.#timer ??= this.#after(settleMs);
    return true;
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }

  #after(ms: number): Disposable {
    return this.#clock.after(ms, () => {
      this.#timer = undefined;
      this.#record();
    });
  }

  #record(): void {
    if (!this.#isPending || this.#problems.size === 0) return;
    this.#isPending = false;
    this.#timer = this.#after(repeatMs);
    const newestFirst = [...this.#problems].toReversed().map(([topic, problem]) => `${topic}: ${problem}`);
    const message = `${newestFirst.length} announcements cannot be used completely: ${newestFirst.join("; ")}`;
    void this.#recorder.recordOnNode("AnnouncementNotTaken", message);
  }
}
