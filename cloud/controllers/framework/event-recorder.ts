import { objectAt, resources, type ResourceType } from "#cloud/kube-client";
import { rfc3339 } from "#shared/clock";
import { asError } from "#shared/errors";
import type { KubeObject } from "#shared/kube";
import { newEvent, type EventDeps, type EventText } from "./events.ts";

/**
 * Events that wait to be written, and events whose repetitions are counted. A rollout of 100 pods records about 200; what
 * an API server cannot take in that time is dropped, as client-go's EventBroadcaster drops events.
 */
const eventLimit = 256;

interface RecordedEvent {
  readonly name: string;
  count: number;
}

/** Records what a controller does as Events; a repeated one raises the count of the Event that exists. */
export class ControllerEvents implements AsyncDisposable {
  readonly #deps: EventDeps;
  readonly #component: string;
  /** By uid, reason and message, the least recently repeated first. */
  readonly #recorded = new Map<string, RecordedEvent>();
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;

  constructor(deps: EventDeps, component: string) {
    this.#deps = deps;
    this.#component = component;
  }

  /** Returns at once; the event is dropped when too many wait. */
  record(type: ResourceType, object: KubeObject, text: EventText): void {
    if (this.#waiting >= eventLimit) return;
    this.#waiting += 1;
    this.#last = this.#last.then(() => this.#write(type, object, text));
  }

  async #write(type: ResourceType, object: KubeObject, text: EventText): Promise<void> {
    try {
      const id = JSON.stringify([object.metadata.uid, text.reason, text.message]);
      const recorded = this.#recorded.get(id);
      // Forgotten until it is written: after a failure the next one is created as a new Event.
      this.#recorded.delete(id);
      this.#remember(
        id,
        recorded ? await this.#repeat(object, recorded) : await this.#create(type, object, text),
      );
    } catch (error) {
      this.#deps.log.debug("event not recorded", { reason: text.reason, error: asError(error) });
    }
    this.#waiting -= 1;
  }

  async #repeat({ metadata }: KubeObject, { name, count }: RecordedEvent): Promise<RecordedEvent> {
    const { kube, clock } = this.#deps;
    const repeated = { name, count: count + 1 };
    const target = { namespace: metadata.namespace ?? "default", name };
    const patch = { count: repeated.count, lastTimestamp: rfc3339(clock.nowMs()) };
    await kube.patch(resources.events, target, patch, { type: "merge" });
    return repeated;
  }

  async #create(type: ResourceType, object: KubeObject, text: EventText): Promise<RecordedEvent> {
    const { kube, clock } = this.#deps;
    const event = newEvent(type, object, { ...text, component: this.#component }, clock.nowMs());
    await kube.create(resources.events, event);
    return { ...objectAt(event), count: 1 };
  }

  #remember(id: string, event: RecordedEvent): void {
    this.#recorded.set(id, event);
    const [oldest] = this.#recorded.keys();
    if (this.#recorded.size > eventLimit && oldest !== undefined) this.#recorded.delete(oldest);
  }

  /** Waits for what was recorded. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#last;
  }
}
