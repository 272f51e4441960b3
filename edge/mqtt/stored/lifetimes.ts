import type { SessionRow } from "#edge/store";
import type { BrokerClock } from "./broker-clock.ts";
import type { Deadlines } from "./deadlines.ts";
import type { Journal } from "./journal.ts";

interface Lifetime {
  /** seconds after the end of its connection */
  readonly expiry: number;
  /** in the time of the broker; undefined while its client is connected */
  endsAtMs: number | undefined;
}

/** When sessions end whose clients are away (MQTT 5 section 3.1.2.11.2); those that are not here do not end. */
export class Lifetimes {
  readonly #journal: Journal;
  readonly #clock: BrokerClock;
  readonly #deadlines: Deadlines;
  readonly #bySession = new Map<string, Lifetime>();

  constructor(
    journal: Journal,
    rows: Iterable<SessionRow>,
    { clock, deadlines }: { readonly clock: BrokerClock; readonly deadlines: Deadlines },
  ) {
    this.#journal = journal;
    this.#clock = clock;
    this.#deadlines = deadlines;
    // Who was connected when edgecore ended is away from now on.
    for (const { client, expiry, endsAt } of rows) this.#away(client, expiry, endsAt ?? undefined);
  }

  /** The client is connected. */
  hold(client: string, expiry: number | undefined): void {
    if (expiry === undefined) return this.remove(client);
    const before = this.#bySession.get(client);
    if (before?.expiry === expiry && before.endsAtMs === undefined) return;
    this.#bySession.set(client, { expiry, endsAtMs: undefined });
    this.#put({ client, expiry, endsAt: null });
  }

  /** The client is away from now on. */
  leave(client: string, expiry: number | undefined): void {
    if (expiry === undefined) this.remove(client);
    else this.#away(client, expiry, undefined);
  }

  remove(client: string): void {
    if (!this.#bySession.delete(client)) return;
    this.#journal.add(`l${client}`, (sessions) => sessions.removeSession(client));
  }

  /** Sessions whose time is over. */
  due(): string[] {
    const nowMs = this.#clock.nowMs();
    const due: string[] = [];
    for (const [client, { endsAtMs }] of this.#bySession) {
      if (endsAtMs === undefined) continue;
      if (endsAtMs <= nowMs) due.push(client);
      else this.#deadlines.note(endsAtMs);
    }
    return due;
  }

  isOver(client: string): boolean {
    const endsAtMs = this.#bySession.get(client)?.endsAtMs;
    return endsAtMs !== undefined && endsAtMs <= this.#clock.nowMs();
  }

  #away(client: string, expiry: number, endsAt: number | undefined): void {
    const endsAtMs = endsAt ?? this.#clock.nowMs() + expiry * 1000;
    this.#bySession.set(client, { expiry, endsAtMs });
    this.#deadlines.note(endsAtMs);
    if (endsAt === undefined) this.#put({ client, expiry, endsAt: endsAtMs });
  }

  #put(row: SessionRow): void {
    this.#clock.note();
    this.#journal.add(`l${row.client}`, (sessions) => sessions.putSession(row));
  }
}
