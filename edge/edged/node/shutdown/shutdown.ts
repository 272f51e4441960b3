import type { Clock } from "#shared/clock";
import type { Logger } from "#shared/log";
import { isCriticalPod } from "#shared/scheduling";
import type { ActivePod } from "#edge/edged/pods";

export interface ShutdownConfig {
  /** For all pods together; 0: they are left to the engine. */
  readonly graceSeconds: number;
  /** The part of it for critical pods, which end last. */
  readonly criticalSeconds: number;
}

export interface ShutdownDeps {
  readonly clock: Pick<Clock, "sleep">;
  readonly log: Logger;
  readonly pods: () => readonly ActivePod[];
}

const message = "Pod was terminated in response to imminent node shutdown.";
/** The engine needs a moment beyond the grace period to report an end. */
const marginMs = 2000;

/**
 * Ends what runs because the machine shuts down, critical pods last (kubelet's nodeshutdown). Pods that may restart run again after the
 * boot, with or without a cloud; those that may not have failed, in kubelet's words.
 */
export async function shutDownPods(
  { graceSeconds, criticalSeconds }: ShutdownConfig,
  deps: ShutdownDeps,
): Promise<void> {
  const [critical = [], others = []] = [true, false].map((wanted) =>
    deps.pods().filter(({ pod }) => isCriticalPod(pod) === wanted),
  );
  deps.log.info("the machine shuts down, ending pods", { pods: others.length, critical: critical.length });
  await endAll(others, Math.max(0, graceSeconds - criticalSeconds), deps);
  await endAll(critical, Math.min(criticalSeconds, graceSeconds), deps);
}

/** Each has its own grace period, all together no more than `seconds`. */
async function endAll(pods: readonly ActivePod[], seconds: number, deps: ShutdownDeps): Promise<void> {
  const over = new AbortController();
  const ends = pods.map((one) => {
    const mayRestart = one.pod.spec.restartPolicy !== "Never";
    return mayRestart
      ? one.suspend(seconds)
      : one.end({
          reason: "Terminated",
          message,
          graceSeconds: seconds,
          isDisruption: true,
          keepsFiles: true,
        });
  });
  const limit = deps.clock.sleep(seconds * 1000 + marginMs, { signal: over.signal }).catch(() => undefined);
  await Promise.race([Promise.all(ends), limit]);
  over.abort();
}
