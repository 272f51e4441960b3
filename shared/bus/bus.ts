import { BugError, ClosedError } from "#shared/errors";
import { note } from "#shared/lifecycle";

/** A catalogue maps topics to `{ event }` or `{ body; reply }`. */
type Entry = { event: unknown } | { body: unknown; reply: unknown };
type Entries<C> = { [T in keyof C]: Entry };

export type EventTopic<C> = { [T in keyof C]: C[T] extends { event: unknown } ? T : never }[keyof C];
export type AskTopic<C> = { [T in keyof C]: C[T] extends { body: unknown } ? T : never }[keyof C];
export type EventBody<C, T extends keyof C> = C[T] extends { event: infer B } ? B : never;
export type AskBody<C, T extends keyof C> = C[T] extends { body: infer B } ? B : never;
export type Reply<C, T extends keyof C> = C[T] extends { reply: infer R } ? R : never;

/** What a module may say (Emits, Asks) and hear (Hears, Answers); it never sees the bus itself. */
export interface Port<
  C,
  Emits extends EventTopic<C>,
  Asks extends AskTopic<C>,
  Hears extends EventTopic<C>,
  Answers extends AskTopic<C>,
> {
  /** Resolves when every hearer has handled the event. Hearers of one topic get events of one port in order. */
  emit<T extends Emits>(topic: T, body: EventBody<C, T>): Promise<void>;
  ask<T extends Asks>(topic: T, body: AskBody<C, T>, options?: AskOptions): Promise<Reply<C, T>>;
  on<T extends Hears>(topic: T, hear: (body: EventBody<C, T>) => void | Promise<void>): Disposable;
  answer<T extends Answers>(
    topic: T,
    reply: (body: AskBody<C, T>, options: AskOptions) => Promise<Reply<C, T>>,
  ): Disposable;
}

export interface AskOptions {
  readonly signal?: AbortSignal | undefined;
}

type Hear = (body: unknown) => void | Promise<void>;
type Answerer = (body: unknown, options: AskOptions) => Promise<unknown>;

export interface BusOptions {
  /** Told of a hearer that failed; the emitter is not. */
  readonly onHearerError: (topic: string, module: string, error: unknown) => void;
}

interface Hearer {
  readonly module: string;
  readonly hear: Hear;
  /** Tail of this hearer's queue: events are handled one at a time, in order of emission. */
  tail: Promise<void>;
}

/** See `index.ts` for the promises. */
export class Bus<C extends Entries<C>> implements Disposable {
  readonly #hearers = new Map<PropertyKey, Set<Hearer>>();
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
    Hears extends EventTopic<C> = never,
    Answers extends AskTopic<C> = never,
  >(module: string): Port<C, Emits, Asks, Hears, Answers> {
    return {
      emit: (topic, body) => this.#emit(topic, body),
      ask: (topic, body, options) => this.#ask(topic, body, options ?? {}) as Promise<Reply<C, typeof topic>>,
      on: (topic, hear) => this.#on(module, topic, hear as Hear),
      answer: (topic, reply) => this.#answer(topic, reply as Answerer),
    };
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#hearers.clear();
    this.#answerers.clear();
  }

  async #emit(topic: PropertyKey, body: unknown): Promise<void> {
    const hearers = this.#hearers.get(topic);
    if (!hearers || hearers.size === 0) return;
    await Promise.all([...hearers].map((hearer) => this.#deliver(topic, hearer, body)));
  }

  #deliver(topic: PropertyKey, hearer: Hearer, body: unknown): Promise<void> {
    hearer.tail = hearer.tail.then(async () => {
      try {
        note(String(topic), hearer.module);
        await hearer.hear(body);
      } catch (error) {
        this.#options.onHearerError(String(topic), hearer.module, error);
      }
    });
    return hearer.tail;
  }

  async #ask(topic: PropertyKey, body: unknown, options: AskOptions): Promise<unknown> {
    if (this.#closed) throw new ClosedError(`Cannot ask "${String(topic)}": the bus is closed`);
    const answerer = this.#answerers.get(topic);
    if (!answerer) throw new BugError(`Cannot ask "${String(topic)}": nobody answers it`);
    options.signal?.throwIfAborted();
    note(String(topic), "");
    return answerer(body, options);
  }

  #on(module: string, topic: PropertyKey, hear: Hear): Disposable {
    const hearer: Hearer = { module, hear, tail: Promise.resolve() };
    const hearers = this.#hearers.get(topic) ?? new Set();
    this.#hearers.set(topic, hearers.add(hearer));
    return { [Symbol.dispose]: () => void hearers.delete(hearer) };
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
