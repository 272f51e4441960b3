import { ignoreMissing, resources } from "#cloud/kube-client";
import { asError } from "#shared/errors";
import type { Event } from "#shared/kube";
import type { ControllerDeps } from "#cloud/controllers/framework";

const lifetimeMs = 3_600_000;
const sweepMs = 300_000;

/** Deletes Events that nobody has repeated for an hour: they would fill the database otherwise. */
export function startEventExpiry(deps: Pick<ControllerDeps, "kube" | "clock" | "log">): AsyncDisposable {
  const stop = new AbortController();
  let sweeping: Promise<void> | undefined;
  const timer = deps.clock.every(sweepMs, () => {
    sweeping ??= sweep(deps, stop.signal).finally(() => {
      sweeping = undefined;
    });
  });
  return {
    [Symbol.asyncDispose]: async () => {
      timer[Symbol.dispose]();
      stop.abort();
      await sweeping;
    },
  };
}

async function sweep(
  { kube, clock, log }: Pick<ControllerDeps, "kube" | "clock" | "log">,
  signal: AbortSignal,
): Promise<void> {
  try {
    const { items } = await kube.list<Event>(resources.events, { signal });
    const oldest = clock.nowMs() - lifetimeMs;
    for (const event of items) {
      if (lastSeenMs(event) >= oldest) continue;
      const { name = "", namespace = "" } = event.metadata;
      // One at a time: there is no hurry.
      await ignoreMissing(kube.remove(resources.events, { name, namespace }, { signal }));
    }
  } catch (error) {
    if (!signal.aborted) log.warn("old events not deleted", { error: asError(error) });
  }
}

/** An Event whose times cannot be read counts as old. */
function lastSeenMs(event: Event): number {
  const { series, eventTime } = event as { series?: { lastObservedTime?: string }; eventTime?: string };
  const times = [event.lastTimestamp, series?.lastObservedTime, eventTime, event.metadata.creationTimestamp];
  const known = times.map((time) => Date.parse(time ?? "")).filter((ms) => !Number.isNaN(ms));
  return Math.max(0, ...known);
}
