import type { BrokerConfig } from "#shared/config";
import { deviceOfTopic, nodePrefix, topicMatches } from "#shared/message";

export interface Identity {
  /** undefined for clients that gave none */
  readonly user: string | undefined;
  readonly clientId: string;
}

/**
 * Who may connect and which topics they may use. Without rules everything is allowed. With rules the first that covers
 * user and topic decides; where none does, a client may use only the topics of the device it is: `$hw/events/device/D`
 * where D is its user name (its client id when it came without one).
 */
export class Access {
  readonly #config: Pick<BrokerConfig, "anonymous" | "users" | "acl">;
  readonly #hashes: ReadonlyMap<string, string>;

  constructor(config: Pick<BrokerConfig, "anonymous" | "users" | "acl">) {
    this.#config = config;
    this.#hashes = new Map(config.users.map(({ name, passwordHash }) => [name, passwordHash]));
  }

  async admits(user: string | undefined, password: Uint8Array | undefined): Promise<boolean> {
    if (user === undefined || user === "") return this.#config.anonymous;
    if (this.#hashes.size === 0) return this.#config.anonymous;
    const hash = this.#hashes.get(user);
    if (hash === undefined || password === undefined) return false;
    return Bun.password.verify(password, hash).catch(() => false);
  }

  mayPublish(who: Identity, topic: string): boolean {
    if (topic.startsWith("$SYS/")) return false;
    return this.#allows(who, topic, "write");
  }

  /** `filter` may have wildcards: what it covers has to be covered by a rule as a whole. */
  maySubscribe(who: Identity, filter: string): boolean {
    return this.#allows(who, filter, "read");
  }

  #allows(who: Identity, topic: string, wanted: "read" | "write"): boolean {
    const { acl } = this.#config;
    if (acl.length === 0) return true;
    for (const rule of acl) {
      if (rule.user !== undefined && rule.user !== who.user) continue;
      if (!covers(fill(rule.topic, who), topic)) continue;
      if (rule.access === "deny") return false;
      if (rule.access === "readwrite" || rule.access === wanted) return true;
    }
    return isOwn(who, topic, wanted);
  }
}

/** Whether every topic of `filter` (or the topic itself) is covered by the rule. */
function covers(rule: string, filter: string): boolean {
  if (rule === filter || rule === "#") return true;
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
  if (wanted === "read" && topic.startsWith(nodePrefix)) return !topic.includes("#");
  const device = deviceOfTopic(topic);
  const self = who.user ?? who.clientId;
  if (device === undefined || self === "" || /[+#]/.test(device)) return false;
  return device === self || topic.startsWith(`$hw/events/device/${self}/`);
}

/** A name with wildcards or slashes must not widen a rule. */
function fill(topic: string, who: Identity): string {
  const safe = (text: string): string => (/[+#/]/.test(text) ? "\0" : text);
  return topic.replaceAll("%u", safe(who.user ?? "")).replaceAll("%c", safe(who.clientId));
}
