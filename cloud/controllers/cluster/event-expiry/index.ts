import { ignoreMissing, objectAt, resources } from "#cloud/kube-client";
import type { ControllerDeps } from "#cloud/controllers/framework";
import { asError } from "#shared/errors";
import type { Event } from "#shared/kube";

type ExpiryDeps = Pick<ControllerDeps, "kube" | "clock" | "log">;

/** The default of kube-apiserver's --event-ttl. */
const lifetimeMs = 3_600_000;
const sweepMs = 300_000;

/** Deletes Events that were not repeated for an hour; they would fill the database otherwise. */
export function startEventExpiry(deps: ExpiryDeps): AsyncDisposable {
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

async function sweep({ kube, clock, log }: ExpiryDeps, signal: AbortSignal): Promise<void> {
  try {
    const { items } = await kube.list<Event>(resources.events, { signal });
    const oldest = clock.nowMs() - lifetimeMs;
    const expired = items.filter((event) => lastSeenMs(event) < oldest);
    // One at a time: there is no hurry.
    for (const event of expired)
      await ignoreMissing(kube.remove(resources.events, objectAt(event), { signal }));
  } catch (error) {
    if (!signal.aborted) log.warn("cannot delete expired events", { error: asError(error) });
  }
}

/** An Event without a valid time counts as expired. */
function lastSeenMs({ lastTimestamp, series, eventTime, metadata }: Event): number {
  const times = [lastTimestamp, series?.lastObservedTime, eventTime, metadata.creationTimestamp];
  const known = times.map((time) => Date.parse(time ?? "")).filter((ms) => !Number.isNaN(ms));
  return Math.max(0, ...known);
}
