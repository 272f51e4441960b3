import type { Clock } from "#shared/clock";
import { AppError } from "#shared/errors";
import { grpcCodeOf, grpcCodes } from "#shared/grpc";
import { backoff } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { labelNames, type ContainerSummary, type RuntimeHint } from "#edge/runtime";
import type { CriCalls } from "#edge/runtime/cri/api";

export interface WatchOptions {
  readonly calls: CriCalls;
  readonly owner: string;
  /** What there is now. */
  readonly list: () => Promise<readonly ContainerSummary[]>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onHint: (hint: RuntimeHint) => void;
  readonly signal: AbortSignal;
}

/** As kubelet's generic PLEG: an engine without events is listed each second. */
const relistMs = 1000;
/**
 * Beside events: containerd 1.7 gives each to one of its followers only, and drops those beyond a thousand that nobody takes.
 * kubelet lists each five minutes then.
 */
const relistBesideEventsMs = 60_000;
/** A relist is enough while the engine has no events. */
const longestWaitMs = 2000;

/** Follows what happens to containers, by the engine's events or by its lists, reconnecting until disposed. */
export function watchEngine(options: WatchOptions): Disposable {
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  follow(options, signal).catch((error: unknown) => {
    if (!signal.aborted) options.log.error("watch of the engine failed", { error });
  });
  return { [Symbol.dispose]: () => stop.abort() };
}

async function follow(options: WatchOptions, signal: AbortSignal): Promise<void> {
  const { clock, log, onHint } = options;
  const newWaits = (): Iterator<number> =>
    backoff({ firstMs: 200, capMs: longestWaitMs, random: () => clock.random() });
  let waits = newWaits();
  let isLost = false;
  const connected = (): void => {
    if (isLost) log.info("container engine connected again");
    isLost = false;
    waits = newWaits();
    onHint({ kind: "connected" });
  };
  while (!signal.aborted) {
    try {
      await followConnection(options, connected, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (!isLost) log.warn("container engine cannot be reached", { error });
    }
    if (signal.aborted) return;
    if (!isLost) onHint({ kind: "disconnected" });
    isLost = true;
    await clock.sleep(waits.next().value ?? longestWaitMs, { signal }).catch(() => undefined);
  }
}

/** Until the connection is lost. */
async function followConnection(
  options: WatchOptions,
  connected: () => void,
  signal: AbortSignal,
): Promise<void> {
  const seen = new Seen(await options.list());
  connected();
  using _relist = options.clock.every(relistBesideEventsMs, () => void relist(options, seen));
  if (await hasEvents(options, signal)) return;
  for (;;) {
    await options.clock.sleep(relistMs, { signal });
    for (const hint of seen.compare(await options.list())) options.onHint(hint);
  }
}

/** Never rejects: the connection that is lost is noticed by who follows the events. */
async function relist({ list, log, onHint }: WatchOptions, seen: Seen): Promise<void> {
  try {
    for (const hint of seen.compare(await list())) onHint(hint);
  } catch (error) {
    log.debug("cannot list containers beside the events", { error });
  }
}

/** Delivers events until the connection is lost. @returns false when the engine has none (containerd before 1.7) */
async function hasEvents({ calls, owner, onHint }: WatchOptions, signal: AbortSignal): Promise<boolean> {
  try {
    for await (const event of calls.stream("follow events", "GetContainerEvents", {}, signal)) {
      const labels = event.podSandboxStatus?.labels ?? {};
      if (labels[labelNames.owner] !== owner) continue;
      const podUid = labels[labelNames.podUid] ?? "";
      onHint({ kind: "container", id: event.containerId, podUid, action: actions[event.containerEventType] });
    }
    return true;
  } catch (error) {
    if (error instanceof AppError && grpcCodeOf(error.cause) === grpcCodes.unimplemented) return false;
    throw error;
  }
}

const actions = {
  CONTAINER_CREATED_EVENT: "create",
  CONTAINER_STARTED_EVENT: "start",
  CONTAINER_STOPPED_EVENT: "die",
  CONTAINER_DELETED_EVENT: "destroy",
} as const;

/** The last list, to see what has changed since. */
class Seen {
  #byId: ReadonlyMap<string, ContainerSummary>;

  constructor(list: readonly ContainerSummary[]) {
    this.#byId = byId(list);
  }

  compare(list: readonly ContainerSummary[]): RuntimeHint[] {
    const before = this.#byId;
    this.#byId = byId(list);
    const gone = [...before.values()].filter(({ id }) => !this.#byId.has(id));
    const changed = list.filter(({ id, phase }) => before.get(id)?.phase !== phase);
    return [
      ...changed.map((one) => hintOf(one, changes[one.phase])),
      ...gone.map((one) => hintOf(one, "destroy")),
    ];
  }
}

const changes = { created: "create", running: "start", exited: "die" } as const;

function byId(list: readonly ContainerSummary[]): ReadonlyMap<string, ContainerSummary> {
  return new Map(list.map((one) => [one.id, one]));
}

function hintOf({ id, identity }: ContainerSummary, action: string): RuntimeHint {
  return { kind: "container", id, podUid: identity.podUid, action };
}
