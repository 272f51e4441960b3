import type { CloudRecord, Store } from "#edge/store";
import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { Event } from "#shared/kube";
import type { Logger } from "#shared/log";
import type { CloudDatabase } from "#shared/topics";
import { holdEvent } from "./hold-event.ts";
import { meetCloud } from "./meeting.ts";

export interface CloudTrustParts {
  readonly node: string;
  readonly store: Pick<Store, "cloud">;
  readonly clock: Clock;
  readonly log: Logger;
  /** Sends an Event to the cloud at once, past the outbox. */
  readonly record: (event: Event) => Promise<void>;
  /** An operator adopted the cloud: connect again and accept it. */
  readonly onAdopted: () => void;
}

/** `edgecore adopt` takes effect within this time. */
const checkEveryMs = 2000;

/** Whether the cloud that is connected now is the one this node belongs to. */
export class CloudTrust implements Disposable {
  readonly #parts: CloudTrustParts;
  #found: string | undefined;
  #isHeld = false;
  #checking: Disposable | undefined;

  constructor(parts: CloudTrustParts) {
    this.#parts = parts;
  }

  /** While held no change of the cloud is stored or made, and nothing is reported that it could refuse for good. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** Called with each handshake. @returns what the Node shows of it; undefined when the cloud never changed */
  meet(name: string | undefined): CloudDatabase | undefined {
    const { store, clock, log } = this.#parts;
    this.#found = name;
    // Until it is known which cloud this is, it may not remove anything.
    this.#setHeld(true);
    const known = store.cloud.read();
    const { held, record } = meetCloud(known, name, clock.nowMs());
    this.#setHeld(held);
    try {
      if (record) store.cloud.write(record);
    } catch (error) {
      log.error("cannot store which cloud this node belongs to", { error });
    }
    return this.#judge(record ?? known, name ?? "", held);
  }

  /** The link was lost: the next cloud that connects is judged again. */
  leave(): void {
    this.#found = undefined;
    this.#setHeld(false);
  }

  /** An operator adopted a database in the cloud; any other than the one that is held back is ignored. */
  adopt(database: string, acknowledge: () => void): void {
    const { store, log, onAdopted } = this.#parts;
    if (!this.#isHeld || database !== this.#found || store.cloud.read()?.other !== database) return;
    store.cloud.adopt();
    log.info("the cloud's database was adopted in the cloud", { database });
    acknowledge();
    onAdopted();
  }

  [Symbol.dispose](): void {
    this.#setHeld(false);
  }

  #judge(record: CloudRecord | undefined, found: string, held: boolean): CloudDatabase | undefined {
    if (!record || record.other === null) return undefined;
    const database = { held, ...this.#describe(record.name, found, held) };
    if (held) this.#report(database);
    return database;
  }

  #report(database: CloudDatabase): void {
    const { node, clock, log, record } = this.#parts;
    log.error("cloud has another database than before, rejecting its changes until it is adopted", {
      known: database.known,
      found: database.found,
      remedy: `cloudcore adopt ${node}, or edgecore adopt on this node`,
    });
    record(holdEvent(node, database, clock.nowMs())).catch((error: unknown) =>
      log.debug("cannot record the event of a changed cloud database", { error: describeError(error) }),
    );
  }

  #describe(known: string, found: string, held: boolean): Omit<CloudDatabase, "held"> {
    const { node } = this.#parts;
    const until = `\`cloudcore adopt ${node}\`, or \`edgecore adopt\` on the node`;
    const message = held
      ? `the database of the cloud is ${found}, but this node belongs to ${known}: pods, devices and configuration are kept and changes from the cloud are rejected until ${until}`
      : `this node belongs to database ${known}`;
    return { known, found, message };
  }

  #setHeld(held: boolean): void {
    this.#isHeld = held;
    this.#checking?.[Symbol.dispose]();
    this.#checking = held ? this.#parts.clock.every(checkEveryMs, () => this.#check()) : undefined;
  }

  /** `edgecore adopt` is another process: it writes into the database of this one. */
  #check(): void {
    const { store, log, onAdopted } = this.#parts;
    try {
      if (store.cloud.read()?.name !== this.#found) return;
    } catch (error) {
      log.debug("cannot read which cloud this node belongs to", { error: describeError(error) });
      return;
    }
    log.info("the cloud's database was adopted on this node", { database: this.#found });
    onAdopted();
  }
}
