import type { BrokerConfig } from "#shared/config";
import { devicePrefix, nodePrefix, parseDeviceTopic, topicMatches } from "#shared/mqtt";
import { Passwords, type LoginRefusal, type LoginAttempt } from "./passwords.ts";

export interface ClientIdentity {
  /** User name with a password that was right, or the name in a client certificate; undefined for all others. */
  readonly user: string | undefined;
  /** What the client calls itself: nobody vouches for it. */
  readonly clientId: string;
}

export interface ClientCredentials {
  readonly user: string | undefined;
  readonly password: Uint8Array | undefined;
  /** common name of a client certificate that our CA signed */
  readonly certificateName: string | undefined;
}

export type AdmissionResult =
  | { readonly ok: true; readonly user: string | undefined }
  /** `problem` is for the log: who is refused is not told what was right. */
  | ({ readonly ok: false } & LoginRefusal);

type Wanted = "write" | "subscribe" | "read";
type Rules = Pick<BrokerConfig, "anonymous" | "users" | "acl">;

/** Answers about topics are remembered for each client: devices use the same few over and over. */
const mostRemembered = 100;
const longestRemembered = 256;

/**
 * Who may connect and which topics they may use. Without rules everything is allowed. With rules the first that covers
 * user and topic decides; where none does, a client may use only the topics of the device it is: `$hw/events/device/D`
 * where D is its user name. Who did not prove a name is no device.
 */
export class Access {
  readonly #rules: Rules;
  readonly #passwords: Passwords;
  readonly #remembered = new WeakMap<ClientIdentity, Map<string, boolean>>();

  constructor(rules: Rules) {
    this.#rules = rules;
    this.#passwords = new Passwords(rules.users);
  }

  /** Whether topics matter at all. */
  get open(): boolean {
    return this.#rules.acl.length === 0;
  }

  async admit(
    { user = "", password, certificateName }: ClientCredentials,
    visitor: LoginAttempt,
  ): Promise<AdmissionResult> {
    if (user !== "" && !this.#passwords.isEmpty) {
      const refusal = await this.#passwords.check(user, password, visitor);
      return refusal ? { ok: false, ...refusal } : { ok: true, user };
    }
    if (certificateName) return { ok: true, user: certificateName };
    return this.#rules.anonymous ? { ok: true, user: undefined } : { ok: false, problem: "no user" };
  }

  mayPublish(who: ClientIdentity, topic: string): boolean {
    if (topic.startsWith("$SYS/")) return false;
    return this.#allows(who, topic, "write");
  }

  /** `filter` may have wildcards: what it covers has to be covered by a rule as a whole. */
  maySubscribe(who: ClientIdentity, filter: string): boolean {
    return this.#allows(who, filter, "subscribe");
  }

  /** Asked for each message: a wider filter may have been allowed than the topic is. */
  mayReceive(who: ClientIdentity, topic: string): boolean {
    return this.#allows(who, topic, "read");
  }

  #allows(who: ClientIdentity, topic: string, wanted: Wanted): boolean {
    if (this.open) return true;
    const remembered = this.#remembered.get(who) ?? new Map<string, boolean>();
    this.#remembered.set(who, remembered);
    const question = `${wanted} ${topic}`;
    const known = remembered.get(question);
    if (known !== undefined) return known;
    const answer = this.#decide(who, topic, wanted);
    if (remembered.size >= mostRemembered) remembered.clear();
    if (topic.length <= longestRemembered) remembered.set(question, answer);
    return answer;
  }

  #decide(who: ClientIdentity, topic: string, wanted: Wanted): boolean {
    for (const rule of this.#rules.acl) {
      if (rule.user !== undefined && rule.user !== who.user) continue;
      const filled = fill(rule.topic, who);
      if (filled === undefined || !covers(filled, topic)) continue;
      if (rule.access === "deny") return false;
      if (rule.access === "readwrite" || rule.access === (wanted === "write" ? "write" : "read")) return true;
    }
    return isOwn(who, topic, wanted);
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

function isOwn(who: ClientIdentity, topic: string, wanted: Wanted): boolean {
  const self = who.user ?? "";
  if (self === "" || /[+#]/.test(self)) return false;
  if (wanted !== "write" && topic.startsWith(nodePrefix)) return !topic.includes("#");
  // A device may be called by its namespace too.
  const names = self.includes("/") ? [self] : [self, `default/${self}`];
  return names.some((name) => isOfDevice(name, topic, wanted));
}

function isOfDevice(name: string, topic: string, wanted: Wanted): boolean {
  const own = `${devicePrefix}${name}/`;
  // What it covers beyond the device is held back message by message.
  if (wanted === "subscribe") return topic.startsWith(own);
  const asked = parseDeviceTopic(topic);
  if (asked) return asked.device === name;
  return wanted === "read" && topic.startsWith(own) && told.has(topic.slice(own.length));
}

/** What a device is told below its name. A name may be a namespace as well: what else follows is another device's. */
const told: ReadonlySet<string> = new Set([
  "twin/get/result",
  "twin/update/result",
  "twin/update/document",
  "twin/update/delta",
  "state/update/result",
  "updated",
]);

/** A name with wildcards or slashes must not widen a rule, nor may one that is not there fill it. */
function fill(topic: string, who: ClientIdentity): string | undefined {
  const names = { "%u": who.user, "%c": who.clientId };
  let filled = topic;
  for (const [sign, name] of Object.entries(names)) {
    if (!topic.includes(sign)) continue;
    if (name === undefined || name === "" || /[+#/]/.test(name)) return undefined;
    filled = filled.replaceAll(sign, () => name);
  }
  return filled;
}
