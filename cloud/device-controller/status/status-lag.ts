import { resources, type KubeClient } from "#cloud/kube-client";
import { rfc3339, type Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { Device, Event } from "#shared/kube";
import type { Logger } from "#shared/log";
import type { StatusFigures } from "./status-writer.ts";

export interface StatusLagParts {
  readonly figures: () => StatusFigures;
  readonly device: (key: string) => Device | undefined;
  readonly kube: Pick<KubeClient, "create">;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A status that is so much older than its report is of no use to one who looks at it. */
const lateMs = 10_000;
const lookEveryMs = 5000;
const repeatMs = 300_000;

/** A line of the log and an Event on the Device that waits longest, at most every five minutes, while statuses fall behind reports. */
export function watchStatusLag(parts: StatusLagParts): Disposable {
  const { figures, clock, log } = parts;
  let reportedMs = Number.NEGATIVE_INFINITY;
  return clock.every(lookEveryMs, () => {
    const found = figures();
    const nowMs = clock.monotonicMs();
    if (found.oldestMs < lateMs || nowMs - reportedMs < repeatMs) return;
    reportedMs = nowMs;
    const { waiting, oldestMs } = found;
    log.warn("statuses of devices fall behind their reports", { waiting, oldestMs });
    recordEvent(parts, found).catch((error: unknown) =>
      log.warn("cannot record an Event", { reason: "StatusBehind", error: describeError(error) }),
    );
  });
}

async function recordEvent({ device, kube, clock }: StatusLagParts, found: StatusFigures): Promise<void> {
  const about = device(found.oldestDevice ?? "");
  if (!about) return;
  const { name = "", namespace = "default", uid = "" } = about.metadata;
  const nowMs = clock.nowMs();
  const time = rfc3339(nowMs);
  const seconds = Math.round(found.oldestMs / 1000);
  const event: Event = {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: `${name.slice(0, 200)}.${BigInt(Math.trunc(nowMs * 1e6)).toString(16)}`, namespace },
    involvedObject: { apiVersion: "devices.kubeedge.io/v1beta1", kind: "Device", name, namespace, uid },
    reason: "StatusBehind",
    message:
      `A report waits for ${seconds} s to be written into the status, as do those of ${found.waiting - 1} other devices: ` +
      "the API takes no more, or devicecontroller.status-writes-per-second allows no more",
    type: "Warning",
    count: 1,
    firstTimestamp: time,
    lastTimestamp: time,
    source: { component: "devicecontroller" },
    reportingComponent: "devicecontroller",
    reportingInstance: "",
  };
  await kube.create(resources.events, event);
}
