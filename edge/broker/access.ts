import { createHmac, randomBytes } from "node:crypto";
import type { BrokerConfig } from "#shared/config";
import { deviceOfTopic, nodePrefix, topicMatches } from "#shared/message";

export interface Identity {
  /** User name with a password that was right, or the name in a client certificate; undefined for all others. */
  readonly user: string | undefined;
  /** What the client calls itself: nobody vouches for it. */
  readonly clientId: string;
}

export interface Credentials {
  readonly user: string | undefined;
  readonly password: Uint8Array | undefined;
  /** common name of a client certificate that our CA signed */
  readonly certificateName: string | undefined;
}

export type Admission = { readonly ok: true; readonly user: string | undefined } | { readonly ok: false };

type Rules = Pick<BrokerConfig, "anonymous" | "users" | "acl">;

/** Answers about topics are remembered: devices use the same few over and over. */
const mostRemembered = 10_000;
const longestRemembered = 512;

/**
 * Who may connect and which topics they may use. Without rules everything is allowed. With rules the first that covers
 * user and topic decides; where none does, a client may use only the topics of the device it is: `$hw/events/device/D`
 * where D is its user name. Who did not prove a name is no device.
 */
export class Access {
  readonly #rules: Rules;
  readonly #hashes: ReadonlyMap<string, string>;
  readonly #remembered = new Map<string, boolean>();
  /** Passwords that were right, under a key of this run: hashing them again for each reconnect would take seconds. */
  readonly #proven = new Map<string, string>();
  readonly #key = randomBytes(32);

  constructor(rules: Rules) {
    this.#rules = rules;
    this.#hashes = new Map(rules.users.map(({ name, passwordHash }) => [name, passwordHash]));
  }

  /** Whether topics matter at all. */
  get open(): boolean {
    return this.#rules.acl.length === 0;
  }

  async admit({ user = "", password, certificateName }: Credentials): Promise<Admission> {
    if (user !== "" && this.#hashes.size > 0)
      return (await this.#isRight(user, password)) ? { ok: true, user } : { ok: false };
    if (certificateName) return { ok: true, user: certificateName };
    return this.#rules.anonymous ? { ok: true, user: undefined } : { ok: false };
  }

  mayPublish(who: Identity, topic: string): boolean {
    if (topic.startsWith("$SYS/")) return false;
    return this.#allows(who, topic, "write");
  }

  /** `filter` may have wildcards: what it covers has to be covered by a rule as a whole. */
  maySubscribe(who: Identity, filter: string): boolean {
    return this.#allows(who, filter, "read");
  }

  /** Asked for each message: a wider filter may have been allowed than the topic is. */
  mayReceive(who: Identity, topic: string): boolean {
    return this.#allows(who, topic, "read");
  }

  #allows(who: Identity, topic: string, wanted: "read" | "write"): boolean {
    if (this.open) return true;
    const question = `${wanted}\n${who.user}\n${who.clientId}\n${topic}`;
    const known = this.#remembered.get(question);
    if (known !== undefined) return known;
    const answer = this.#decide(who, topic, wanted);
    if (this.#remembered.size >= mostRemembered) this.#remembered.clear();
    if (question.length <= longestRemembered) this.#remembered.set(question, answer);
    return answer;
  }

  #decide(who: Identity, topic: string, wanted: "read" | "write"): boolean {
    for (const rule of this.#rules.acl) {
      if (rule.user !== undefined && rule.user !== who.user) continue;
      const filled = fill(rule.topic, who);
      if (filled === undefined || !covers(filled, topic)) continue;
      if (rule.access === "deny") return false;
      if (rule.access === "readwrite" || rule.access === wanted) return true;
    }
    return isOwn(who, topic, wanted);
  }

  async #isRight(user: string, password: Uint8Array | undefined): Promise<boolean> {
    const hash = this.#hashes.get(user);
    if (hash === undefined || password === undefined) return false;
    const proof = createHmac("sha256", this.#key).update(password).digest("hex");
    if (this.#proven.get(user) === proof) return true;
    const right = await Bun.password.verify(password, hash).catch(() => false);
    if (right) this.#proven.set(user, proof);
    return right;
  }
}

/** Whether every topic of `filter` (or the topic itself) is covered by the rule. */
function covers(rule: string, filter: string): boolean {
  if (rule === filter) return true;
  if (/^[+#]/.test(rule) && filter.startsWith("$")) return false;
  const wanted = rule.split("/");
  const given = filter.split("/");
  for (const [index, level] of wanted.entries()) {
    if (level === "#") return true;
    const at = given[index];
    if (at === undefined || at === "#") return false;
    if (level !== "+" && level !== at) return false;
  }
  return wanted.length === given.length || topicMatches(rule, filter);
}

function isOwn(who: Identity, topic: string, wanted: "read" | "write"): boolean {
  const self = who.user ?? "";
  if (self === "" || /[+#]/.test(self)) return false;
  if (wanted === "read" && topic.startsWith(nodePrefix)) return !topic.includes("#");
  const device = deviceOfTopic(topic);
  if (device === undefined || /[+#]/.test(device)) return false;
  return device === self || topic.startsWith(`$hw/events/device/${self}/`);
}

/** A name with wildcards or slashes must not widen a rule, nor may one that is not there fill it. */
function fill(topic: string, who: Identity): string | undefined {
  const names = { "%u": who.user, "%c": who.clientId };
  let filled = topic;
  for (const [sign, name] of Object.entries(names)) {
    if (!topic.includes(sign)) continue;
    if (name === undefined || name === "" || /[+#/]/.test(name)) return undefined;
    filled = filled.replaceAll(sign, () => name);
  }
  return filled;
}
