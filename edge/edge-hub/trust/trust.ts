import type { CloudRecord, Store } from "#edge/store";
import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { Event } from "#shared/kube";
import type { Logger } from "#shared/log";
import type { CloudDatabase } from "#shared/topics";
import { adoptRoute, parseResource, resourceTypes, type NewMessage, type WireMessage } from "#shared/wire";
import { holdEvent } from "./hold-event.ts";
import { meetCloud } from "./meeting.ts";

export interface CloudTrustParts {
  readonly node: string;
  readonly store: Pick<Store, "cloud">;
  readonly clock: Clock;
  readonly log: Logger;
  /** Sends an Event to the cloud at once, past the outbox. */
  readonly record: (event: Event) => Promise<unknown>;
  /** Answers a message of the cloud with `ok`. */
  readonly answer: (message: WireMessage) => void;
  /** An operator adopted the cloud: connect again and accept it. */
  readonly onAdopted: () => void;
}

const lookEveryMs = 2000;
/** A node tells even a cloud it does not accept that it is there and how it is. */
const aboutNode: ReadonlySet<string> = new Set([
  resourceTypes.node,
  resourceTypes.nodePatch,
  resourceTypes.nodeStatus,
  resourceTypes.lease,
]);

/** The judgement on the cloud that is connected now. */
export class CloudTrust implements Disposable {
  readonly #parts: CloudTrustParts;
  #found: string | undefined;
  #held = false;
  #looking: Disposable | undefined;

  constructor(parts: CloudTrustParts) {
    this.#parts = parts;
  }

  /** While held nothing the cloud says is stored or done, and nothing is reported that it could refuse for good. */
  get held(): boolean {
    return this.#held;
  }

  /** Called with each handshake. @returns what the Node shows of it; undefined when the cloud never changed */
  meet(name: string | undefined): CloudDatabase | undefined {
    const { store, clock, log } = this.#parts;
    this.#found = name;
    // Until it is known which cloud this is, it may not remove anything.
    this.#hold(true);
    const known = store.cloud.read();
    const { held, record } = meetCloud(known, name, clock.nowMs());
    this.#hold(held);
    try {
      if (record) store.cloud.write(record);
    } catch (error) {
      log.error("cannot store which cloud this node belongs to", { error });
    }
    return this.#judged(record ?? known, name ?? "", held);
  }

  /** The link went away: what connects next is judged anew. */
  leave(): void {
    this.#found = undefined;
    this.#hold(false);
  }

  /** @returns whether the request may go to the cloud now */
  admits({ resource }: Pick<NewMessage, "resource">): boolean {
    return !this.#held || aboutNode.has(parseResource(resource)?.type ?? "");
  }

  /** A message about the link itself: that an operator of the cloud adopted the very database held back. */
  take(message: WireMessage): void {
    const { store, log, answer, onAdopted } = this.#parts;
    const { route, content } = message;
    if (route.operation !== adoptRoute.operation || !this.#held || content !== this.#found) return;
    if (store.cloud.read()?.other !== this.#found) return;
    store.cloud.adopt();
    log.info("the cloud's database was adopted in the cloud", { database: this.#found });
    answer(message);
    onAdopted();
  }

  [Symbol.dispose](): void {
    this.#hold(false);
  }

  #judged(record: CloudRecord | undefined, found: string, held: boolean): CloudDatabase | undefined {
    if (!record || record.other === null) return undefined;
    const database = { held, ...this.#describe(record.name, found, held) };
    if (held) this.#tell(database);
    return database;
  }

  #tell(database: CloudDatabase): void {
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

  #hold(held: boolean): void {
    this.#held = held;
    this.#looking?.[Symbol.dispose]();
    this.#looking = held ? this.#parts.clock.every(lookEveryMs, () => this.#look()) : undefined;
  }

  /** `edgecore adopt` is another process: it leaves its word in the database. */
  #look(): void {
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
