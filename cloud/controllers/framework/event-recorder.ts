import { resources, type KubeClient } from "#cloud/kube-client";
import { rfc3339, type Clock } from "#shared/clock";
import { asError } from "#shared/errors";
import type { Event, KubeObject } from "#shared/kube";
import type { Logger } from "#shared/log";
import { placeOf } from "./ownership.ts";

export interface Happening {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

const rememberedEvents = 256;

/** Tells people what a controller did, as Event objects; repetitions raise the count of the one that is there. */
export class EventRecorder implements AsyncDisposable {
  readonly #deps: { readonly kube: KubeClient; readonly clock: Clock; readonly log: Logger };
  readonly #component: string;
  readonly #seen = new Map<string, { readonly name: string; count: number }>();
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;

  constructor(
    deps: { readonly kube: KubeClient; readonly clock: Clock; readonly log: Logger },
    component: string,
  ) {
    this.#deps = deps;
    this.#component = component;
  }

  /** Returns at once; events beyond what the API takes in time are dropped. */
  record(about: KubeObject & { readonly kind: string }, happening: Happening): void {
    if (this.#waiting >= rememberedEvents) return;
    this.#waiting += 1;
    this.#last = this.#last.then(() => this.#write(about, happening));
  }

  async #write(about: KubeObject, happening: Happening): Promise<void> {
    try {
      await this.#store(about, happening);
    } catch (error) {
      this.#deps.log.debug("event not recorded", { reason: happening.reason, error: asError(error) });
    }
    this.#waiting -= 1;
  }

  async #store(about: KubeObject, happening: Happening): Promise<void> {
    const { kube, clock } = this.#deps;
    const { uid, namespace = "default", name = "" } = about.metadata;
    const id = JSON.stringify([uid, happening.reason, happening.message]);
    const now = rfc3339(clock.nowMs());
    const seen = this.#seen.get(id);
    if (seen) {
      seen.count += 1;
      const at = { namespace, name: seen.name };
      const change = { count: seen.count, lastTimestamp: now };
      this.#seen.delete(id);
      await kube.patch(resources.events, at, change, { type: "merge" });
      this.#remember(id, seen);
      return;
    }
    const eventName = `${name}.${crypto.randomUUID().replaceAll("-", "").slice(0, 16)}`;
    await kube.create<Event>(resources.events, {
      apiVersion: "v1",
      kind: "Event",
      metadata: { namespace, name: eventName },
      involvedObject: {
        apiVersion: about.apiVersion ?? "apps/v1",
        kind: about.kind ?? "",
        ...placeOf(about),
        ...(uid !== undefined && { uid }),
        ...(about.metadata.resourceVersion !== undefined && {
          resourceVersion: about.metadata.resourceVersion,
        }),
      },
      ...happening,
      count: 1,
      firstTimestamp: now,
      lastTimestamp: now,
      source: { component: this.#component },
      reportingComponent: this.#component,
    });
    this.#remember(id, { name: eventName, count: 1 });
  }

  #remember(id: string, entry: { readonly name: string; count: number }): void {
    this.#seen.set(id, entry);
    const oldest = this.#seen.keys().next();
    if (this.#seen.size > rememberedEvents && !oldest.done) this.#seen.delete(oldest.value);
  }

  /** Waits for what was recorded. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#last;
  }
}
