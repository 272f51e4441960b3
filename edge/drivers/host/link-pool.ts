import type { Clock } from "#shared/clock";
import { ClosedError } from "#shared/errors";
import { withDeadline } from "#shared/lifecycle";
import type { Driver, Link } from "#edge/drivers/driver";

interface OpenLink<Connection, Place> {
  link: Link<Connection, Place> | undefined;
  /** The last call that is not done: calls of one link follow each other. */
  tail: Promise<unknown>;
  users: number;
}

/** A device that answers nothing for longer is closed, whatever its driver does. */
const callMs = 30_000;

/**
 * The links of one driver, opened when they are used and closed when the last device has left. Devices of one serial line or
 * gateway share a link, whose calls follow each other.
 */
export class LinkPool<Connection, Place> implements AsyncDisposable {
  readonly #driver: Driver<Connection, Place>;
  readonly #clock: Clock;
  readonly #links = new Map<string, OpenLink<Connection, Place>>();
  readonly #ended = new AbortController();

  constructor(driver: Driver<Connection, Place>, clock: Clock) {
    this.#driver = driver;
    this.#clock = clock;
  }

  /** A device begins to use its link. Dispose to leave it. */
  join(connection: Connection): AsyncDisposable {
    const key = this.#driver.linkKey(connection);
    const entry = this.#links.get(key) ?? { link: undefined, tail: Promise.resolve(), users: 0 };
    this.#links.set(key, entry);
    entry.users += 1;
    return {
      [Symbol.asyncDispose]: async () => {
        entry.users -= 1;
        if (entry.users > 0) return;
        this.#links.delete(key);
        await entry.tail;
        await close(entry);
      },
    };
  }

  /**
   * Runs a call when those before it are done, on an open link. A call that rejects closes the link.
   * @throws UnavailableError when the device cannot be reached, or takes longer than 30 s
   */
  call<Result>(
    connection: Connection,
    run: (link: Link<Connection, Place>, signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const entry = this.#links.get(this.#driver.linkKey(connection));
    if (!entry) return Promise.reject(new ClosedError("the device was removed"));
    const result = entry.tail.then(() => this.#run(entry, connection, run));
    entry.tail = result.catch(() => undefined);
    return result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort(new ClosedError("edgecore is stopping"));
    const entries = [...this.#links.values()];
    this.#links.clear();
    await Promise.all(entries.map(({ tail }) => tail));
    await Promise.all(entries.map(close));
  }

  async #run<Result>(
    entry: OpenLink<Connection, Place>,
    connection: Connection,
    run: (link: Link<Connection, Place>, signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const clock = this.#clock;
    const deadline = { ms: callMs, what: "the device", signal: this.#ended.signal };
    try {
      return await withDeadline(clock, deadline, async (signal) => {
        entry.link ??= await this.#driver.open(connection, { clock, signal });
        return run(entry.link, signal);
      });
    } catch (error) {
      await close(entry);
      throw error;
    }
  }
}

async function close(entry: OpenLink<unknown, unknown>): Promise<void> {
  const { link } = entry;
  entry.link = undefined;
  try {
    await link?.[Symbol.asyncDispose]();
  } catch {
    // A link that cannot be closed is as good as closed.
  }
}
