import type { DownstreamMessage, TrackedObject } from "#cloud/cloud-hub/codec";
import type { Clock } from "#shared/clock";
import { compareVersions } from "#shared/kube";
import { backoff } from "#shared/lifecycle";
import type { DeliveredObject } from "#shared/topics";

/** Enough to keep a slow link busy, and little enough that what is urgent does not wait behind a full socket. */
const windowSize = 16;
/** Objects of one node that wait, far more than a node has: a node that takes nothing must not fill the memory. */
const maxWaiting = 50_000;
/** As KubeEdge (cloudhub/session/node_session.go): what is not acknowledged is sent five times, every 5 s. */
const resendMs = 5000;
const maxTries = 5;
/** The longest pause before an object that is never acknowledged is tried again. */
const longestWaitMs = 300_000;

/** A message whose acknowledgement is awaited. */
export type TrackedMessage = DownstreamMessage & { readonly tracked: TrackedObject };

export interface AckLaneOptions {
  readonly clock: Clock;
  /** Writes a frame. @returns false when the transport is too far behind for a repetition */
  readonly write: (message: DownstreamMessage, repeated: boolean) => boolean;
  /** Records the object from now on. @returns the version acknowledged so far */
  readonly sending: (object: DeliveredObject) => Promise<string>;
  readonly acked: (object: DeliveredObject, deleted: boolean) => void;
  readonly failed: (sentence: string, fields: Record<string, unknown>) => void;
  /** The lane cannot hold more: the session must end. */
  readonly overflow: () => void;
}

interface Item {
  readonly key: string;
  readonly message: TrackedMessage;
  readonly object: DeliveredObject | undefined;
  /** 2 for a deletion, 1 for an object being deleted, 0 otherwise; a lower one never replaces a higher one */
  readonly rank: number;
  readonly isResponse: boolean;
  readonly isInsert: boolean;
  /** A deletion may have reached the node since the version was acknowledged, so that the version proves nothing. */
  readonly isUnsure: boolean;
  readonly waits: Generator<number, never>;
}

interface Flight {
  readonly item: Item;
  tries: number;
  dueMs: number;
  state: "asking" | "flying" | "parked";
}

/**
 * Delivers objects to one node, each until it is acknowledged. Of an object only the latest version waits, and one is under
 * way; at most 16 objects are under way. What is never acknowledged is put aside for growing times and tried again.
 */
export class AckLane implements Disposable {
  readonly #options: AckLaneOptions;
  readonly #waiting = new Map<string, Item>();
  /** the next item of a key that is under way */
  readonly #held = new Map<string, Item>();
  readonly #flights = new Map<string, Flight>();
  readonly #byMessage = new Map<string, Flight>();
  /** Resolves when everything asked about before was written: what a pod reads goes before the pod. */
  #turn: Promise<void> = Promise.resolve();
  #underWay = 0;
  #closed = false;

  constructor(options: AckLaneOptions) {
    this.#options = options;
  }

  submit(message: TrackedMessage): void {
    if (this.#closed) return;
    const item = this.#toItem(message);
    const { key } = item;
    const flight = this.#flights.get(key);
    const before = this.#held.get(key) ?? this.#waiting.get(key) ?? flight?.item;
    if (before && !replaces(item, before)) return;
    const isUnsure = flight?.item.rank === 2 || before?.isUnsure === true;
    this.#queue({ ...item, isUnsure }, flight);
    if (this.#waiting.size + this.#held.size > maxWaiting) this.#options.overflow();
    else this.#pump();
  }

  #queue(item: Item, flight: Flight | undefined): void {
    if (flight?.state === "parked") this.#land(flight);
    const queue = this.#flights.has(item.key) ? this.#held : this.#waiting;
    queue.set(item.key, item);
  }

  /** @returns false when nothing with this id is under way */
  acknowledge(messageId: string): boolean {
    const flight = this.#byMessage.get(messageId);
    if (!flight || flight.state === "asking") return false;
    const { object, message, rank } = flight.item;
    this.#land(flight);
    if (object) {
      const digest = rank < 2 ? message.tracked.digest() : undefined;
      this.#options.acked({ ...object, ...(digest === undefined ? {} : { digest }) }, rank === 2);
    }
    this.#pump();
    return true;
  }

  /** Repeats what is due. Called about each second. */
  sweep(nowMs: number): void {
    for (const flight of this.#flights.values())
      if (flight.state !== "asking" && flight.dueMs <= nowMs) this.#repeat(flight, nowMs);
    this.#pump();
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    for (const map of [this.#waiting, this.#held, this.#flights, this.#byMessage]) map.clear();
  }

  #repeat(flight: Flight, nowMs: number): void {
    if (flight.state === "parked" || this.#held.has(flight.item.key)) {
      this.#land(flight, flight.state === "parked");
    } else if (flight.tries < maxTries) {
      flight.dueMs = nowMs + resendMs;
      if (this.#options.write(flight.item.message, true)) flight.tries += 1;
    } else this.#giveUp(flight, "a node does not acknowledge an object");
  }

  /** A response that is not acknowledged is of no use any more; objects are tried again later. */
  #giveUp(flight: Flight, sentence: string, error?: unknown): void {
    const { item } = flight;
    this.#options.failed(sentence, { resource: item.message.resource, error });
    if (item.isResponse || this.#held.has(item.key)) {
      this.#land(flight);
      return;
    }
    this.#underWay -= 1;
    flight.state = "parked";
    flight.dueMs = this.#options.clock.monotonicMs() + item.waits.next().value;
  }

  /** Ends a flight; what is held for its key, else (`again`) the same item, waits for its turn. */
  #land(flight: Flight, again = false): void {
    const { key, message } = flight.item;
    if (flight.state !== "parked") this.#underWay -= 1;
    this.#flights.delete(key);
    this.#byMessage.delete(message.id);
    const next = this.#held.get(key) ?? (again ? flight.item : undefined);
    this.#held.delete(key);
    if (next) this.#waiting.set(key, next);
  }

  #pump(): void {
    for (const [key, item] of this.#waiting) {
      if (this.#underWay >= windowSize || this.#closed) return;
      this.#waiting.delete(key);
      const flight: Flight = { item, tries: 0, dueMs: 0, state: "asking" };
      this.#underWay += 1;
      this.#flights.set(key, flight);
      this.#byMessage.set(item.message.id, flight);
      if (item.object && item.rank < 2 && !item.isResponse) void this.#ask(flight, item.object);
      else this.#launch(flight);
    }
  }

  async #ask(flight: Flight, object: DeliveredObject): Promise<void> {
    const before = this.#turn;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turn = promise;
    try {
      const known = await this.#options.sending(object);
      await before;
      if (this.#closed) return;
      const isKnown = compareVersions(known, object.resourceVersion) >= 0 && known !== "0";
      if (isKnown && flight.item.rank === 0 && !flight.item.isUnsure) this.#land(flight);
      else this.#launch(flight);
    } catch (error) {
      if (!this.#closed) this.#giveUp(flight, "cannot record what is sent to a node", error);
    } finally {
      resolve();
    }
    this.#pump();
  }

  #launch(flight: Flight): void {
    flight.state = "flying";
    flight.tries = 1;
    flight.dueMs = this.#options.clock.monotonicMs() + resendMs;
    this.#options.write(flight.item.message, false);
  }

  #toItem(message: TrackedMessage): Item {
    const { key, operation, object, isDeleting } = message.tracked;
    const { clock } = this.#options;
    return {
      key,
      message,
      object,
      rank: operation === "delete" ? 2 : Number(isDeleting),
      isResponse: operation === "response",
      isInsert: operation === "insert",
      isUnsure: false,
      waits: backoff({ firstMs: resendMs, capMs: longestWaitMs, random: () => clock.random() }),
    };
  }
}

/** What a node had to give up it may get back, but only on purpose: a late update does not undo a deletion. */
function replaces(next: Item, before: Item): boolean {
  if (next.isInsert && before.rank === 2) return isAtLeast(next, before);
  if (next.rank !== before.rank) return next.rank > before.rank;
  if (!next.object || !before.object || next.rank === 2) return true;
  return isAtLeast(next, before);
}

function isAtLeast(next: Item, before: Item): boolean {
  return compareVersions(next.object?.resourceVersion, before.object?.resourceVersion) >= 0;
}
