import { createHmac, randomBytes } from "node:crypto";
import type { BrokerConfig } from "#shared/config";

/** Who shows a password. */
export interface LoginAttempt {
  readonly address: string | undefined;
  /** Whether it has left: nobody wants to know any more. */
  readonly isGone: () => boolean;
}

export interface LoginRefusal {
  readonly problem: string;
  /** The password was not looked at: it may come again. */
  readonly isBusy?: boolean;
}

interface Waiting extends LoginAttempt {
  readonly decide: (refusal: LoginRefusal | undefined) => void;
}

/** Passwords being looked at, at a time: each takes a core for a while. */
const mostAtOnce = 2;
/** Visitors of one address that may wait for that: many devices may stand behind one, and come at once after a restart. */
const mostOfAddress = 100;

const busy: LoginRefusal = { problem: "too many passwords of its address wait", isBusy: true };
const gone: LoginRefusal = { problem: "left before its password was looked at", isBusy: true };

/**
 * Looks at passwords, which takes a tenth of a second each: addresses have their turns one after the other, so that who
 * guesses holds up nobody but those of his own address.
 */
export class Passwords {
  readonly #hashes: ReadonlyMap<string, string>;
  /** Passwords that were right, under a key of this run: hashing them again for each reconnect would take seconds. */
  readonly #proven = new Map<string, string>();
  readonly #key = randomBytes(32);
  /** by address, the next one first */
  readonly #waiting = new Map<string, readonly Waiting[]>();
  #verifying = 0;

  constructor(users: BrokerConfig["users"]) {
    this.#hashes = new Map(users.map(({ name, passwordHash }) => [name, passwordHash]));
  }

  /** Whether nobody has one. */
  get isEmpty(): boolean {
    return this.#hashes.size === 0;
  }

  /** @returns what is wrong, undefined when the password is right */
  async check(
    user: string,
    password: Uint8Array | undefined,
    visitor: LoginAttempt,
  ): Promise<LoginRefusal | undefined> {
    const hash = this.#hashes.get(user);
    if (hash === undefined) return { problem: "unknown user" };
    if (password === undefined) return { problem: "no password" };
    const proof = createHmac("sha256", this.#key).update(password).digest("hex");
    if (this.#proven.get(user) === proof) return undefined;
    const refusal = await this.#turn(visitor);
    if (refusal) return refusal;
    try {
      // Many may have come at once with the same one.
      if (this.#proven.get(user) === proof) return undefined;
      if (!(await isRight(password, hash))) return { problem: "wrong password" };
      this.#proven.set(user, proof);
      return undefined;
    } finally {
      this.#next();
    }
  }

  /** Resolves when it is the visitor's turn, which `#next` ends, or with why it does not get one. */
  async #turn({ address = "", isGone }: LoginAttempt): Promise<LoginRefusal | undefined> {
    if (this.#verifying < mostAtOnce) {
      this.#verifying += 1;
      return undefined;
    }
    const waiting = sendAway(this.#waiting.get(address) ?? []);
    if (waiting.length >= mostOfAddress) return busy;
    return new Promise((decide) => {
      this.#waiting.set(address, [...waiting, { address, isGone, decide }]);
    });
  }

  #next(): void {
    for (const [address, all] of this.#waiting) {
      this.#waiting.delete(address);
      const [first, ...others] = sendAway(all);
      if (others.length > 0) this.#waiting.set(address, others);
      if (first) return first.decide(undefined);
    }
    this.#verifying -= 1;
  }
}

/** @returns those who are still there */
function sendAway(waiting: readonly Waiting[]): readonly Waiting[] {
  for (const { isGone, decide } of waiting) if (isGone()) decide(gone);
  return waiting.filter(({ isGone }) => !isGone());
}

async function isRight(password: Uint8Array, hash: string): Promise<boolean> {
  try {
    return await Bun.password.verify(password, hash);
  } catch {
    return false;
  }
}
