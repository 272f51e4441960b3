import { encodeTwinReport, type Stamp } from "#edge/edge-hub/codec";
import type { Store } from "#edge/store";
import { sorted, type WireTwin } from "#edge/device-twin/twins";

export interface TwinReport {
  readonly deviceId: string;
  /** of the Device, when it is known */
  readonly uid: string | undefined;
  readonly nowMs: number;
  readonly twins: readonly (readonly [string, WireTwin])[];
}

/** Adds twins to the report of their device that waits for the cloud. @returns its key in the outbox, and what takes it back */
export function reportTwins(
  { outbox, stamp }: { readonly outbox: Store["outbox"]; readonly stamp: Stamp },
  { deviceId, uid, nowMs, twins }: TwinReport,
): { readonly key: string; readonly undo: () => void } {
  const key = `${deviceId} ${uid ?? ""}`;
  const undo = outbox.report(key, twins, (all) =>
    encodeTwinReport(stamp, deviceId, {
      event_id: stamp.id(),
      timestamp: nowMs,
      ...(uid === undefined ? {} : { device_uid: uid }),
      twin: Object.fromEntries(sorted(all)),
    }),
  );
  return { key, undo };
}
