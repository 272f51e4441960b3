import type { RevisionChange } from "./revision-change.ts";

/** Called with committed changes of one resource, oldest first; must not throw. */
export type Follower = (changes: readonly RevisionChange[]) => void;

/** Who is notified of committed changes, by resource. */
export class Followers {
  readonly #byResource = new Map<string, Set<Follower>>();
  readonly #onError: (error: unknown) => void;

  /** @param onError called when a follower throws; the others are notified all the same */
  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  add(resource: string, follower: Follower): Disposable {
    const followers = this.#byResource.get(resource) ?? new Set();
    this.#byResource.set(resource, followers.add(follower));
    return { [Symbol.dispose]: () => void followers.delete(follower) };
  }

  notify(changes: readonly RevisionChange[]): void {
    for (const [resource, group] of Map.groupBy(changes, (change) => change.resource)) {
      for (const follower of this.#byResource.get(resource) ?? []) {
        try {
          follower(group);
        } catch (error) {
          this.#onError(error);
        }
      }
    }
  }
}
