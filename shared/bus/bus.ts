import { BugError, ClosedError } from "#shared/errors";
import { note } from "#shared/lifecycle";

/** A catalog maps topics to `{ event }` or `{ body; reply }`. */
type Entry = { event: unknown } | { body: unknown; reply: unknown };
type Entries<C> = { [T in keyof C]: Entry };

export type EventTopic<C> = { [T in keyof C]: C[T] extends { event: unknown } ? T : never }[keyof C];
export type AskTopic<C> = { [T in keyof C]: C[T] extends { body: unknown } ? T : never }[keyof C];
export type EventBody<C, T extends keyof C> = C[T] extends { event: infer B } ? B : never;
export type AskBody<C, T extends keyof C> = C[T] extends { body: infer B } ? B : never;
export type Reply<C, T extends keyof C> = C[T] extends { reply: infer R } ? R : never;

/**
 * What a module may emit, ask, subscribe to and answer; it never sees the bus itself.
 */
export interface Port<
  C,
  Emits extends EventTopic<C>,
  Asks extends AskTopic<C>,
  Subscribes extends EventTopic<C>,
  Answers extends AskTopic<C>,
> {
  /** Resolves when every subscriber has handled the event. Each gets the events of one port in order. */
  emit<T extends Emits>(topic: T, body: EventBody<C, T>): Promise<void>;
  ask<T extends Asks>(topic: T, body: AskBody<C, T>, options?: AskOptions): Promise<Reply<C, T>>;
  on<T extends Subscribes>(topic: T, handle: (body: EventBody<C, T>) => void | Promise<void>): Disposable;
  answer<T extends Answers>(
    topic: T,
    reply: (body: AskBody<C, T>, options: AskOptions) => Promise<Reply<C, T>>,
  ): Disposable;
}

export interface AskOptions {
  readonly signal?: AbortSignal | undefined;
}

type Handler = (body: unknown) => void | Promise<void>;
type Answerer = (body: unknown, options: AskOptions) => Promise<unknown>;

export interface BusOptions {
  /** Called when a subscriber fails; the emitter does not learn of it. */
  readonly onFailure: (topic: string, module: string, error: unknown) => void;
  /** Called for each event and request. */
  readonly onMessage?: ((topic: string) => void) | undefined;
}

interface Subscriber {
  readonly module: string;
  readonly handle: Handler;
  /** The end of the queue of this subscriber: events are handled one at a time, in order of emission. */
  tail: Promise<void>;
}

/** See `index.ts` for the promises. */
export class Bus<C extends Entries<C>> implements Disposable {
  readonly #subscribers = new Map<PropertyKey, Set<Subscriber>>();
  readonly #answerers = new Map<PropertyKey, Answerer>();
  readonly #options: BusOptions;
  #closed = false;

  constructor(options: BusOptions) {
    this.#options = options;
  }

  /** The door of one module to the bus. */
  port<
    Emits extends EventTopic<C> = never,
    Asks extends AskTopic<C> = never,
    Subscribes extends EventTopic<C> = never,
    Answers extends AskTopic<C> = never,
  >(module: string): Port<C, Emits, Asks, Subscribes, Answers> {
    // The catalog types bodies and replies by topic; inside, handlers of all topics are in one map.
    return {
      emit: (topic, body) => this.#emit(topic, body),
      ask: (topic, body, options) => this.#ask(topic, body, options ?? {}) as Promise<Reply<C, typeof topic>>,
      on: (topic, handle) => this.#on(module, topic, handle as Handler),
      answer: (topic, reply) => this.#answer(topic, reply as Answerer),
    };
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#subscribers.clear();
    this.#answerers.clear();
  }

  async #emit(topic: PropertyKey, body: unknown): Promise<void> {
    this.#options.onMessage?.(String(topic));
    const subscribers = this.#subscribers.get(topic);
    if (!subscribers || subscribers.size === 0) return;
    await Promise.all([...subscribers].map((subscriber) => this.#deliver(topic, subscriber, body)));
  }

  #deliver(topic: PropertyKey, subscriber: Subscriber, body: unknown): Promise<void> {
    subscriber.tail = subscriber.tail.then(async () => {
      try {
        note(String(topic), subscriber.module);
        await subscriber.handle(body);
      } catch (error) {
        this.#options.onFailure(String(topic), subscriber.module, error);
      }
    });
    return subscriber.tail;
  }

  async #ask(topic: PropertyKey, body: unknown, options: AskOptions): Promise<unknown> {
    if (this.#closed) throw new ClosedError(`Cannot ask "${String(topic)}": the bus is closed`);
    const answerer = this.#answerers.get(topic);
    if (!answerer) throw new BugError(`Cannot ask "${String(topic)}": nobody answers it`);
    options.signal?.throwIfAborted();
    this.#options.onMessage?.(String(topic));
    note(String(topic), "");
    return answerer(body, options);
  }

  #on(module: string, topic: PropertyKey, handle: Handler): Disposable {
    const subscriber: Subscriber = { module, handle, tail: Promise.resolve() };
    const subscribers = this.#subscribers.get(topic) ?? new Set();
    this.#subscribers.set(topic, subscribers.add(subscriber));
    return { [Symbol.dispose]: () => void subscribers.delete(subscriber) };
  }

  #answer(topic: PropertyKey, answerer: Answerer): Disposable {
    if (this.#answerers.has(topic)) throw new BugError(`Cannot answer "${String(topic)}": answered already`);
    this.#answerers.set(topic, answerer);
    return {
      [Symbol.dispose]: () => {
        if (this.#answerers.get(topic) === answerer) this.#answerers.delete(topic);
      },
    };
  }
}
