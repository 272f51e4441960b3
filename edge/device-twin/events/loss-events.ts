import { rfc3339, type Clock } from "#shared/clock";
import type { DeviceEventRecorder } from "#shared/events";
import type { Loss, Losses } from "#edge/store";
import { repeatMs, settleMs } from "./periods.ts";

export interface LossEventsParts {
  readonly recorder: DeviceEventRecorder;
  readonly clock: Clock;
  /** All losses of the outbox since they are counted, and its limit in bytes. */
  readonly losses: () => Losses & { readonly limitBytes: number };
  /** Those of the last Event, which survive a restart. */
  readonly reported: () => Loss;
  readonly setReported: (loss: Loss) => void;
}

/** Events on the Node about messages for the cloud that were folded or dropped: every five minutes at most. */
export class LossEvents implements Disposable {
  readonly #parts: LossEventsParts;
  #pending: { readonly isDropped: boolean } | undefined;
  #timer: Disposable | undefined;
  #isClosed = false;

  /** Losses before a restart that no Event was recorded about are recorded now. */
  constructor(parts: LossEventsParts) {
    this.#parts = parts;
    const [lost, reported] = [parts.losses(), parts.reported()];
    const missed = {
      folded: lost.folded - reported.folded,
      droppedReports: lost.droppedReports - reported.droppedReports,
      droppedUploads: lost.droppedUploads - reported.droppedUploads,
    };
    if (Object.values(missed).some((count) => count > 0)) this.add(missed);
  }

  add({ droppedReports, droppedUploads }: Loss): void {
    const isDropped = droppedReports + droppedUploads > 0;
    this.#pending = { isDropped: this.#pending?.isDropped === true || isDropped };
    this.#timer ??= this.#after(settleMs);
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#timer?.[Symbol.dispose]();
  }

  #after(ms: number): Disposable {
    return this.#parts.clock.after(ms, () => {
      this.#timer = undefined;
      this.#record();
    });
  }

  #record(): void {
    const pending = this.#pending;
    if (!pending) return;
    this.#pending = undefined;
    this.#timer = this.#after(repeatMs);
    const { recorder, losses, setReported } = this.#parts;
    const lost = losses();
    const { folded, droppedReports, droppedUploads, sinceMs = 0, limitBytes } = lost;
    const message =
      `More than edgehub.outbox-mb (${Math.round(limitBytes / 1e6)} MB) waited for the cloud, or an upload was larger than ` +
      `it accepts (32 MiB). Since ${rfc3339(sinceMs)}: ${folded} reports folded into later ones, ` +
      `${droppedReports} reports and ${droppedUploads} uploads dropped`;
    const reason = pending.isDropped ? "MessagesDropped" : "ReportsFolded";
    void recorder.recordOnNode(reason, message).then(() => {
      if (!this.#isClosed) setReported(lost);
    });
  }
}
