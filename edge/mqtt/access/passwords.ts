import { createHmac, randomBytes } from "node:crypto";
import type { BrokerConfig } from "#shared/config";

/** A client that waits for its password to be checked. */
export interface LoginAttempt {
  readonly address: string | undefined;
  /** Whether it has disconnected: the check would be in vain. */
  readonly isClosed: () => boolean;
}

export interface LoginRefusal {
  readonly problem: string;
  /** The password was not checked: the client may try again. */
  readonly isBusy?: boolean;
}

interface Waiting extends LoginAttempt {
  readonly decide: (refusal: LoginRefusal | undefined) => void;
}

/** Passwords checked at a time: each takes a core for a tenth of a second, and small nodes have four cores. */
const mostChecks = 2;
/** Clients of one address that may wait: a gateway may connect a hundred devices at once after a restart. */
const mostWaiting = 100;

const busy: LoginRefusal = {
  problem: "too many clients of its address wait for a password check",
  isBusy: true,
};
const closed: LoginRefusal = { problem: "disconnected before its password was checked", isBusy: true };

/**
 * Checks passwords against their bcrypt hashes. Addresses take turns, so that password guessing delays only clients of
 * the same address.
 */
export class Passwords {
  readonly #hashes: ReadonlyMap<string, string>;
  /**
   * Keyed digests of passwords that were right: checking the hash again at each reconnect would take seconds. The key is
   * random and only in memory.
   */
  readonly #verified = new Map<string, string>();
  readonly #key = randomBytes(32);
  /** Waiting clients by address; the first address has the next turn. */
  readonly #waiting = new Map<string, readonly Waiting[]>();
  #checks = 0;

  constructor(users: BrokerConfig["users"]) {
    this.#hashes = new Map(users.map(({ name, passwordHash }) => [name, passwordHash]));
  }

  /** Whether no user is configured. */
  get isEmpty(): boolean {
    return this.#hashes.size === 0;
  }

  /** @returns why the client is refused, undefined when the password is right */
  async check(
    user: string,
    password: Uint8Array | undefined,
    attempt: LoginAttempt,
  ): Promise<LoginRefusal | undefined> {
    const hash = this.#hashes.get(user);
    if (hash === undefined) return { problem: "unknown user" };
    if (password === undefined) return { problem: "no password" };
    const digest = createHmac("sha256", this.#key).update(password).digest("hex");
    if (this.#verified.get(user) === digest) return undefined;
    const refusal = await this.#turn(attempt);
    if (refusal) return refusal;
    try {
      // Another client with the same password may have been checked meanwhile.
      if (this.#verified.get(user) === digest) return undefined;
      if (!(await isRight(password, hash))) return { problem: "wrong password" };
      this.#verified.set(user, digest);
      return undefined;
    } finally {
      this.#next();
    }
  }

  /** Waits for a turn, which `#next` ends. @returns why the client does not get one */
  async #turn({ address = "", isClosed }: LoginAttempt): Promise<LoginRefusal | undefined> {
    if (this.#checks < mostChecks) {
      this.#checks += 1;
      return undefined;
    }
    const waiting = refuseClosed(this.#waiting.get(address) ?? []);
    if (waiting.length >= mostWaiting) return busy;
    return new Promise((decide) => {
      this.#waiting.set(address, [...waiting, { address, isClosed, decide }]);
    });
  }

  #next(): void {
    for (const [address, all] of this.#waiting) {
      this.#waiting.delete(address);
      const [first, ...others] = refuseClosed(all);
      if (others.length > 0) this.#waiting.set(address, others);
      if (first) return first.decide(undefined);
    }
    this.#checks -= 1;
  }
}

/** Refuses those that have disconnected. @returns the others */
function refuseClosed(waiting: readonly Waiting[]): readonly Waiting[] {
  for (const { isClosed, decide } of waiting) if (isClosed()) decide(closed);
  return waiting.filter(({ isClosed }) => !isClosed());
}

async function isRight(password: Uint8Array, hash: string): Promise<boolean> {
  try {
    return await Bun.password.verify(password, hash);
  } catch {
    return false;
  }
}
