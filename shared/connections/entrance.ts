import type { Logger } from "#shared/log";
import type { ConnectionBudget } from "./budget.ts";
import { leastOpenFiles } from "./open-files.ts";
import { openFront, type Front, type FrontOptions } from "./front.ts";

/** A server that accepts connections without counting them. */
interface Direct {
  readonly port?: number | undefined;
  stop(closeActive?: boolean): Promise<void>;
}

export interface EntranceOptions extends FrontOptions {
  readonly budget: ConnectionBudget;
  readonly log: Logger;
  /** How many files this process may have open. */
  readonly openFiles: number;
  /** Serves on that port without a front. */
  readonly serveDirectly: (port: number) => Direct;
  /** Whether clients may have certificates now, which only the front reads. */
  readonly hasCertificates?: () => boolean;
}

export interface Entrance extends AsyncDisposable {
  readonly port: number;
  /** From the return on, new connections are accepted in the way that they need now. */
  look(): void;
}

/** How often connections are counted, and how long they have to be few before counting stops: switching costs a listen. */
const lookMs = 100;
const calmMs = 60_000;
/** With fewer files every connection is counted from the start: a burst would be through before it is seen. */
const fewFiles = 4096;
/** More connections than a cluster's clients make. */
const manyConnections = 1024;

/**
 * Where connections to a server arrive. As long as they are few they reach it directly, which costs nothing; as soon as
 * many files are open new ones go through a front, until it has been calm for a while. Those that are open stay.
 * @throws Error when the address cannot be listened on
 */
export function openEntrance(options: EntranceOptions): Entrance {
  const switching = new Switching(options);
  return {
    port: switching.port,
    look: () => switching.look(),
    [Symbol.asyncDispose]: () => switching[Symbol.asyncDispose](),
  };
}

class Switching implements AsyncDisposable {
  readonly port: number;
  readonly #options: EntranceOptions;
  readonly #owned = new AsyncDisposableStack();
  #direct: Direct | undefined;
  /** They accept nothing, and go on with the connections that they have. */
  readonly #leaving = new Set<Direct>();
  #front: Front | undefined;
  #calmSinceMs: number | undefined;

  constructor(options: EntranceOptions) {
    this.#options = options;
    if (options.openFiles < fewFiles || this.#hasCertificates()) {
      this.port = this.#listenInFront(options.port);
    } else {
      this.#direct = options.serveDirectly(options.port);
      this.port = this.#direct.port ?? options.port;
    }
    if (options.openFiles >= fewFiles) this.#owned.use(options.clock.every(lookMs, () => this.look()));
    this.#owned.defer(async () => {
      await Promise.all([...this.#leaving].map((one) => one.stop(true)));
      await this.#direct?.stop(true);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }

  look(): void {
    if (this.#options.openFiles < fewFiles) return;
    const open = leastOpenFiles();
    if (this.#direct && this.#hasCertificates()) this.#leaveDirect();
    else if (this.#direct && open > this.#mostOpen()) this.#count();
    else if (!this.#direct && !this.#front) this.#tryFront();
    else if (this.#front) this.#judgeCalm(open);
  }

  #hasCertificates(): boolean {
    return this.#options.hasCertificates?.() === true;
  }

  #mostOpen(): number {
    const { openFiles, budget } = this.#options;
    return Math.min(openFiles / 2, budget.sockets + manyConnections);
  }

  #count(): void {
    this.#options.log.warn("many connections are open: new ones are admitted by address and credentials", {
      port: this.port,
    });
    this.#leaveDirect();
  }

  #leaveDirect(): void {
    const left = this.#direct;
    if (left) this.#leaving.add(left);
    void left?.stop(false).then(() => this.#leaving.delete(left));
    this.#direct = undefined;
    this.#calmSinceMs = undefined;
    this.#tryFront();
  }

  #judgeCalm(open: number): void {
    const { clock, log } = this.#options;
    const nowMs = clock.monotonicMs();
    if (open > this.#mostOpen() / 2 || this.#hasCertificates()) this.#calmSinceMs = undefined;
    else this.#calmSinceMs ??= nowMs;
    if (this.#calmSinceMs === undefined || nowMs - this.#calmSinceMs < calmMs) return;
    log.info("number of connections is back to normal", { port: this.port });
    this.#front?.stopListening();
    this.#front = undefined;
    try {
      this.#direct = this.#options.serveDirectly(this.port);
    } catch (error) {
      log.warn("cannot listen again, retrying", { port: this.port, error });
    }
  }

  /** While not a single file is free it is tried again at the next look. */
  #tryFront(): void {
    try {
      this.#listenInFront(this.port);
    } catch (error) {
      this.#options.log.warn("cannot listen again, retrying", { port: this.port, error });
    }
  }

  #listenInFront(port: number): number {
    this.#front = openFront({ ...this.#options, port });
    this.#owned.use(this.#front);
    return this.#front.port;
  }
}
