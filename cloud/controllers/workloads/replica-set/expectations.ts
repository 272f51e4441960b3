import type { Clock } from "#shared/clock";
import type { Pod } from "#shared/kube";

const patienceMs = 30_000;

interface Expected {
  readonly created: Map<string, number>;
  readonly deleted: Map<string, number>;
}

/**
 * What a ReplicaSet did that its local copy of the pods does not show yet. As long as something is missing no pods are
 * counted, made or deleted for it; what never shows up is given up after a while.
 */
export class Expectations {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #byOwner = new Map<string, Expected>();

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  created(owner: string, podUid: string): void {
    this.#of(owner).created.set(podUid, this.#clock.monotonicMs() + patienceMs);
  }

  deleted(owner: string, podUid: string): void {
    this.#of(owner).deleted.set(podUid, this.#clock.monotonicMs() + patienceMs);
  }

  /** The pod is gone: nothing of it will show any more. */
  gone(owner: string, podUid: string): void {
    const expected = this.#byOwner.get(owner);
    expected?.created.delete(podUid);
    expected?.deleted.delete(podUid);
  }

  forget(owner: string): void {
    this.#byOwner.delete(owner);
  }

  /** Milliseconds until patience ends, 0 when the pods show everything that was done. */
  waitMs(owner: string, pods: readonly Pod[]): number {
    const expected = this.#byOwner.get(owner);
    if (!expected) return 0;
    for (const { metadata } of pods) {
      expected.created.delete(metadata.uid ?? "");
      if (metadata.deletionTimestamp !== undefined) expected.deleted.delete(metadata.uid ?? "");
    }
    const present = new Set(pods.map(({ metadata }) => metadata.uid));
    for (const uid of expected.deleted.keys()) if (!present.has(uid)) expected.deleted.delete(uid);
    const now = this.#clock.monotonicMs();
    const waits = [...expected.created.values(), ...expected.deleted.values()].map((until) => until - now);
    const longest = Math.max(0, ...waits);
    if (longest === 0) this.#byOwner.delete(owner);
    return longest;
  }

  #of(owner: string): Expected {
    const found = this.#byOwner.get(owner);
    if (found) return found;
    const made: Expected = { created: new Map(), deleted: new Map() };
    this.#byOwner.set(owner, made);
    return made;
  }
}
