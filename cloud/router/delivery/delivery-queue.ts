import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import { backoff } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { NewDelivery, Outcome, StoredDelivery } from "./delivery.ts";
import type { DeliveryStore, Lane } from "./delivery-store.ts";
import { FairTurns } from "./fair-turns.ts";

export interface DeliveryQueueOptions {
  readonly store: DeliveryStore;
  /** Delivers a message once. Rejects only by a bug. */
  readonly attempt: (delivery: StoredDelivery, signal: AbortSignal) => Promise<Outcome>;
  /** Called with the end of each attempt, and with `dead` also for what became too old or had to give way. */
  readonly ended: (rule: string, outcome: Outcome, count?: number) => void;
  /** Called when other messages wait than before. */
  readonly changed: (rule: string) => void;
  readonly mostAgeMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A lane is what one rule has for one node: its messages are delivered one after another, those of others beside them. */
interface LaneState extends Lane {
  /** of the last message that is done */
  afterId: number;
  status: "offline" | "ready" | "running" | "waiting";
  timer: Disposable | undefined;
  waits: Generator<number, never> | undefined;
  /** It was woken while it ran. */
  again: boolean;
}

/** Attempts at once. A rule with a target that does not answer gets half of them, one more of that kind a quarter. */
const mostAtOnce = 64;
const firstWaitMs = 500;
const longestWaitMs = 60_000;
const expireEveryMs = 30_000;

/**
 * Delivers messages of rules at least once, from disk: a message leaves the store after it was delivered or dropped. One
 * that fails holds up those behind it of the same rule and node, with a growing wait between attempts.
 */
export class DeliveryQueue implements AsyncDisposable {
  readonly #options: DeliveryQueueOptions;
  readonly #lanes = new Map<string, LaneState>();
  readonly #ready = new FairTurns<LaneState>(mostAtOnce);
  readonly #running = new Set<Promise<void>>();
  readonly #abort = new AbortController();
  readonly #expiry: Disposable;

  constructor(options: DeliveryQueueOptions) {
    this.#options = options;
    for (const lane of options.store.lanes()) this.#wake(lane);
    this.#expiry = options.clock.every(expireEveryMs, () => void this.#expire());
  }

  /**
   * Takes messages over.
   * @returns false when they do not fit: with `drop` the oldest of the rule give way, and only what never fits is refused
   * @throws UnavailableError when they cannot be stored
   */
  async add(deliveries: readonly NewDelivery[], { drop }: { readonly drop: boolean }): Promise<boolean> {
    const { store, ended, changed } = this.#options;
    const rule = deliveries[0]?.rule ?? "";
    if (drop && !store.hasRoom(rule, deliveries)) {
      const dropped = await store.makeRoom(rule, deliveries);
      if (dropped > 0) ended(rule, { kind: "dead", reason: "the queue of the rule is full" }, dropped);
    }
    if (!store.hasRoom(rule, deliveries)) return false;
    await store.add(deliveries);
    changed(rule);
    for (const { node } of deliveries) {
      const status = this.#lanes.get(laneKey({ rule, node }))?.status;
      // A message behind one that failed does not shorten its wait.
      if (status !== "offline" && status !== "waiting") this.#wake({ rule, node });
    }
    return true;
  }

  /** The node connected: what waits for it is delivered. */
  connected(node: string): void {
    for (const lane of this.#lanes.values()) if (lane.node === node) this.#wake(lane);
  }

  /** The rule changed: what waits may go elsewhere now. */
  changed(rule: string): void {
    for (const lane of this.#lanes.values()) if (lane.rule === rule) this.#wake(lane);
  }

  /** The rule was deleted, and with it what waits. */
  async dropRule(rule: string): Promise<void> {
    await this.#options.store.dropRule(rule);
  }

  /** What is on its way is aborted: it is delivered again after the next start. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#expiry[Symbol.dispose]();
    this.#abort.abort(new Error("cloudcore shuts down"));
    for (const lane of this.#lanes.values()) lane.timer?.[Symbol.dispose]();
    await Promise.all(this.#running);
  }

  #wake({ rule, node }: Lane): void {
    const key = laneKey({ rule, node });
    const known = this.#lanes.get(key);
    const lane = known ?? newLane({ rule, node });
    if (!known) this.#lanes.set(key, lane);
    lane.again = true;
    if (known && (lane.status === "running" || lane.status === "ready")) return;
    lane.timer?.[Symbol.dispose]();
    lane.status = "ready";
    this.#ready.add(lane);
    this.#start();
  }

  #start(): void {
    while (!this.#abort.signal.aborted) {
      const next = this.#ready.next();
      if (!next) return;
      const { item: lane, place } = next;
      lane.status = "running";
      const work = this.#run(lane).finally(() => {
        this.#running.delete(work);
        place[Symbol.dispose]();
        this.#start();
      });
      this.#running.add(work);
    }
  }

  /** One message of the lane; then the next lane has its turn. */
  async #run(lane: LaneState): Promise<void> {
    const { store, attempt, ended, changed, log } = this.#options;
    lane.again = false;
    const delivery = store.next(lane, lane.afterId);
    if (!delivery) return this.#rest(lane);
    try {
      const outcome = this.#isTooOld(delivery)
        ? ({ kind: "dead", reason: "it could not be delivered in time" } as const)
        : await attempt(delivery, this.#abort.signal);
      if (this.#abort.signal.aborted) return;
      ended(lane.rule, outcome);
      if (outcome.kind === "retry") return await this.#later(lane, delivery, outcome.offline === true);
      lane.afterId = delivery.id;
      lane.waits = undefined;
      await store.remove(delivery.id);
      changed(lane.rule);
    } catch (error) {
      log.error("cannot deliver a message of a rule", { rule: lane.rule, error: describeError(error) });
      return this.#later(lane, delivery, false);
    }
    this.#goOn(lane);
  }

  #goOn(lane: LaneState): void {
    lane.status = "ready";
    this.#ready.add(lane);
  }

  #rest(lane: LaneState): void {
    if (lane.again) return this.#goOn(lane);
    this.#lanes.delete(laneKey(lane));
  }

  async #later(lane: LaneState, { id }: StoredDelivery, offline: boolean): Promise<void> {
    const { clock, store } = this.#options;
    if (!offline) await store.failed(id).catch(() => undefined);
    if (this.#abort.signal.aborted) return;
    // It connected, or the rule changed, while it was tried.
    if (lane.again && offline) return this.#goOn(lane);
    lane.status = offline ? "offline" : "waiting";
    if (offline) return;
    lane.waits ??= backoff({ firstMs: firstWaitMs, capMs: longestWaitMs, random: () => clock.random() });
    lane.timer = clock.after(lane.waits.next().value, () => this.#wake(lane));
  }

  #isTooOld({ createdMs }: StoredDelivery): boolean {
    const { clock, mostAgeMs } = this.#options;
    return clock.nowMs() - createdMs > mostAgeMs;
  }

  /** Of nodes that do not come back nobody tries anything. */
  async #expire(): Promise<void> {
    const { store, clock, mostAgeMs, ended, log } = this.#options;
    try {
      for (const rule of await store.expire(clock.nowMs() - mostAgeMs))
        ended(rule, { kind: "dead", reason: "it could not be delivered in time" });
    } catch (error) {
      if (!this.#abort.signal.aborted)
        log.error("cannot drop old messages of rules", { error: describeError(error) });
    }
  }
}

/** Names of rules and nodes have no spaces. */
function laneKey({ rule, node }: Lane): string {
  return `${rule} ${node}`;
}

function newLane({ rule, node }: Lane): LaneState {
  return { rule, node, afterId: 0, status: "ready", timer: undefined, waits: undefined, again: false };
}
