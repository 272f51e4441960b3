import type { BrokerConfig } from "#shared/config";
import { devicePrefix, nodePrefix, parseDeviceTopic, topicMatches } from "#shared/mqtt";
import { Passwords, type LoginAttempt, type LoginRefusal } from "./passwords.ts";

export interface ClientIdentity {
  /** The authenticated user name, or the common name of the client certificate; undefined for an anonymous client. */
  readonly user: string | undefined;
  /** Chosen by the client and not authenticated. */
  readonly clientId: string;
}

export interface ClientCredentials {
  readonly user: string | undefined;
  readonly password: Uint8Array | undefined;
  /** common name of a client certificate signed by `mqtt.broker.cafile` */
  readonly certificateName: string | undefined;
}

export type AdmissionResult =
  | { readonly ok: true; readonly user: string | undefined }
  /** `problem` is for the log: the client learns only that it is refused. */
  | ({ readonly ok: false } & LoginRefusal);

type TopicAccess = "write" | "subscribe" | "read";
type AccessConfig = Pick<BrokerConfig, "anonymous" | "users" | "acl">;

/** Decisions kept for each client, and the longest topic among them: devices use a few short topics again and again. */
const mostCached = 100;
const longestCached = 256;

/**
 * Decides who may connect and which topics they may use. Without rules (`mqtt.broker.acl`) all topics are allowed. With
 * rules the first that matches user and topic decides; if none does, a client may use only the topics of the device with
 * its user name, `$hw/events/device/USER`. An anonymous client is no device.
 */
export class Access {
  readonly #config: AccessConfig;
  readonly #passwords: Passwords;
  readonly #cache = new WeakMap<ClientIdentity, Map<string, boolean>>();

  constructor(config: AccessConfig) {
    this.#config = config;
    this.#passwords = new Passwords(config.users);
  }

  /** Whether all topics are allowed. */
  get isOpen(): boolean {
    return this.#config.acl.length === 0;
  }

  async admit(
    { user = "", password, certificateName }: ClientCredentials,
    attempt: LoginAttempt,
  ): Promise<AdmissionResult> {
    if (user !== "" && !this.#passwords.isEmpty) {
      const refusal = await this.#passwords.check(user, password, attempt);
      return refusal ? { ok: false, ...refusal } : { ok: true, user };
    }
    if (certificateName) return { ok: true, user: certificateName };
    return this.#config.anonymous ? { ok: true, user: undefined } : { ok: false, problem: "no user name" };
  }

  mayPublish(identity: ClientIdentity, topic: string): boolean {
    if (topic.startsWith("$SYS/")) return false;
    return this.#allows(identity, topic, "write");
  }

  /** Whether one rule covers all topics that `filter`, which may have wildcards, covers. */
  maySubscribe(identity: ClientIdentity, filter: string): boolean {
    return this.#allows(identity, filter, "subscribe");
  }

  /** Whether a client may receive messages of a topic: its filter may cover more than the rules allow. */
  mayReceive(identity: ClientIdentity, topic: string): boolean {
    return this.#allows(identity, topic, "read");
  }

  #allows(identity: ClientIdentity, topic: string, access: TopicAccess): boolean {
    if (this.isOpen) return true;
    const cache = this.#cache.get(identity) ?? new Map<string, boolean>();
    this.#cache.set(identity, cache);
    const key = `${access} ${topic}`;
    const known = cache.get(key);
    if (known !== undefined) return known;
    const allowed = this.#decide(identity, topic, access);
    if (cache.size >= mostCached) cache.clear();
    if (topic.length <= longestCached) cache.set(key, allowed);
    return allowed;
  }

  #decide(identity: ClientIdentity, topic: string, access: TopicAccess): boolean {
    for (const rule of this.#config.acl) {
      if (rule.user !== undefined && rule.user !== identity.user) continue;
      const filter = expand(rule.topic, identity);
      if (filter === undefined || !covers(filter, topic)) continue;
      if (rule.access === "deny") return false;
      if (rule.access === "readwrite" || rule.access === (access === "write" ? "write" : "read")) return true;
    }
    return isOwnDevice(identity, topic, access);
  }
}

/** Whether the rule covers every topic that `filter` covers, or `filter` itself if it is a topic. */
function covers(rule: string, filter: string): boolean {
  if (rule === filter) return true;
  if (/^[+#]/.test(rule) && filter.startsWith("$")) return false;
  const ruleLevels = rule.split("/");
  const levels = filter.split("/");
  for (const [index, ruleLevel] of ruleLevels.entries()) {
    if (ruleLevel === "#") return true;
    const level = levels[index];
    if (level === undefined || level === "#") return false;
    if (ruleLevel !== "+" && ruleLevel !== level) return false;
  }
  return ruleLevels.length === levels.length || topicMatches(rule, filter);
}

/** What a client may use without a rule: the topics of its device and, to read, those of the node. */
function isOwnDevice(identity: ClientIdentity, topic: string, access: TopicAccess): boolean {
  const user = identity.user ?? "";
  if (user === "" || /[+#]/.test(user)) return false;
  if (access !== "write" && topic.startsWith(nodePrefix)) return !topic.includes("#");
  // Topics may name a device with its namespace.
  const names = user.includes("/") ? [user] : [user, `default/${user}`];
  return names.some((name) => isOfDevice(name, topic, access));
}

function isOfDevice(name: string, topic: string, access: TopicAccess): boolean {
  const prefix = `${devicePrefix}${name}/`;
  // A filter may cover topics of other devices: their messages are held back by `mayReceive`.
  if (access === "subscribe") return topic.startsWith(prefix);
  const request = parseDeviceTopic(topic);
  if (request) return request.device === name;
  return access === "read" && topic.startsWith(prefix) && answers.has(topic.slice(prefix.length));
}

/**
 * What edgecore publishes to a device, below its name. Other topics below it may belong to another device, because the
 * name may be a namespace too.
 */
const answers: ReadonlySet<string> = new Set([
  "twin/get/result",
  "twin/update/result",
  "twin/update/document",
  "twin/update/delta",
  "state/update/result",
  "updated",
]);

/** Replaces `%u` and `%c`. @returns undefined when a name is missing, or has wildcards or slashes that would widen the rule */
function expand(topic: string, identity: ClientIdentity): string | undefined {
  const names = { "%u": identity.user, "%c": identity.clientId };
  let expanded = topic;
  for (const [placeholder, name] of Object.entries(names)) {
    if (!topic.includes(placeholder)) continue;
    if (name === undefined || name === "" || /[+#/]/.test(name)) return undefined;
    expanded = expanded.replaceAll(placeholder, () => name);
  }
  return expanded;
}
