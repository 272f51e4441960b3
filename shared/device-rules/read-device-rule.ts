import { parseExpression, type Expression } from "#shared/devices";
import type { DeviceRule, DeviceRuleAction, DeviceRuleCondition } from "#shared/kube";
import { isTopicFilter } from "#shared/mqtt";

/** A rule that can be run. */
export interface DeviceRuleMeaning {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string | undefined;
  readonly node: string;
  /** All have to hold. */
  readonly conditions: readonly RuleCondition[];
  readonly forMs: number;
  readonly actions: readonly RuleAction[];
  readonly otherwise: readonly RuleAction[];
  readonly minIntervalMs: number;
  readonly isDryRun: boolean;
  readonly isSuspended: boolean;
}

export interface RuleCondition {
  readonly device: string;
  /** undefined: the state of the device */
  readonly property: string | undefined;
  readonly holds: Expression;
  readonly until: Expression | undefined;
}

export type RuleAction =
  | { readonly kind: "set"; readonly device: string; readonly property: string; readonly value: string }
  | { readonly kind: "publish"; readonly topic: string; readonly payload: string; readonly retain: boolean }
  | { readonly kind: "http"; readonly url: URL; readonly method: string; readonly body: string };

/** What is wrong with a rule, and where. */
export interface RuleProblem {
  /** e.g. `spec.when[0].expression` */
  readonly field: string;
  readonly value: unknown;
  readonly problem: string;
}

/** Conditions and actions of one rule: it is a few lines of a person, not a program. */
const most = 16;
const longestDurationMs = 24 * 3_600_000;
/** A rule that runs all the time is a loop: once a second is fast for anything that has a relay. */
const defaultIntervalMs = 1000;

/** Reads a DeviceRule, and finds what cannot be run of it: then nothing of it is. */
export function readDeviceRule(
  rule: DeviceRule,
):
  | { readonly ok: true; readonly meaning: DeviceRuleMeaning }
  | { readonly ok: false; readonly problems: readonly RuleProblem[] } {
  const reader = new RuleReader();
  const { metadata, spec = {} } = rule;
  const meaning = {
    namespace: metadata.namespace ?? "default",
    name: metadata.name ?? "",
    uid: metadata.uid,
    node: reader.name(spec.nodeName, "spec.nodeName"),
    conditions: reader.list(spec.when, "spec.when", (one, field) => reader.condition(one, field)),
    forMs: reader.duration(spec.for, "spec.for", 0),
    actions: reader.list(spec.then, "spec.then", (one, field) => reader.action(one, field)),
    otherwise: spec.otherwise
      ? reader.list(spec.otherwise, "spec.otherwise", (one, field) => reader.action(one, field))
      : [],
    minIntervalMs: reader.duration(spec.minInterval, "spec.minInterval", defaultIntervalMs),
    isDryRun: spec.dryRun === true,
    isSuspended: spec.suspend === true,
  };
  return reader.problems.length === 0 ? { ok: true, meaning } : { ok: false, problems: reader.problems };
}

class RuleReader {
  readonly problems: RuleProblem[] = [];

  list<T, M>(
    given: readonly T[] | undefined,
    field: string,
    read: (one: T, field: string) => M | undefined,
  ): M[] {
    if (!Array.isArray(given) || given.length === 0 || given.length > most) {
      this.#reject(field, given ?? null, `must be a list of 1 to ${most} entries`);
      return [];
    }
    return given.flatMap((one: T, index) => {
      const made = read(one, `${field}[${index}]`);
      return made === undefined ? [] : [made];
    });
  }

  condition(given: DeviceRuleCondition, field: string): RuleCondition {
    const { device, property, expression, until } = given;
    return {
      device: this.name(device, `${field}.device`),
      property: property === undefined ? undefined : this.name(property, `${field}.property`),
      holds: this.#expression(expression, `${field}.expression`) ?? (() => false),
      until: until === undefined ? undefined : this.#expression(until, `${field}.until`),
    };
  }

  action({ set, publish, http }: DeviceRuleAction, field: string): RuleAction | undefined {
    if ([set, publish, http].filter((one) => one !== undefined).length !== 1)
      return this.#reject(field, null, "must have one of set, publish and http");
    if (set) {
      const value = set.value;
      if (typeof value !== "string" || value === "" || value.length > 512)
        return this.#reject(`${field}.set.value`, value ?? null, "must be a text of up to 512 characters");
      return {
        kind: "set",
        device: this.name(set.device, `${field}.set.device`),
        property: this.name(set.property, `${field}.set.property`),
        value,
      };
    }
    if (publish) return this.#publish(publish, `${field}.publish`);
    return http && this.#http(http, `${field}.http`);
  }

  name(given: string | undefined, field: string): string {
    if (typeof given === "string" && given !== "" && given.length <= 253) return given;
    this.#reject(field, given ?? null, "must be a name");
    return "";
  }

  duration(given: string | undefined, field: string, fallback: number): number {
    if (given === undefined) return fallback;
    const [, number = "0", unit = ""] = /^(\d{1,6}(?:\.\d{1,3})?)(ms|s|m|h)$/.exec(given) ?? [];
    const ms = Number(number) * (units[unit] ?? 0);
    if (ms > 0 && ms <= longestDurationMs) return ms;
    this.#reject(field, given, 'must be a time up to 24h, such as "500ms", "30s" or "5m"');
    return fallback;
  }

  #publish(
    { topic, payload, retain }: NonNullable<DeviceRuleAction["publish"]>,
    field: string,
  ): RuleAction | undefined {
    const isUsable =
      typeof topic === "string" && isTopicFilter(topic) && !/[+#]/.test(topic) && !topic.startsWith("$");
    if (!isUsable)
      return this.#reject(
        `${field}.topic`,
        topic ?? null,
        "must be an MQTT topic without wildcards and without $",
      );
    const text = payload ?? "";
    if (typeof text !== "string" || text.length > 16_384)
      return this.#reject(`${field}.payload`, null, "must be a text of up to 16384 characters");
    return { kind: "publish", topic, payload: text, retain: retain === true };
  }

  #http(
    { url, method = "POST", body = "" }: NonNullable<DeviceRuleAction["http"]>,
    field: string,
  ): RuleAction | undefined {
    const parsed = localUrl(url);
    if (!parsed)
      return this.#reject(
        `${field}.url`,
        url ?? null,
        "must be http://127.0.0.1:PORT/…, a server on the node",
      );
    if (!["GET", "POST", "PUT", "PATCH", "DELETE"].includes(method))
      return this.#reject(`${field}.method`, method, "must be GET, POST, PUT, PATCH or DELETE");
    if (body.length > 16_384) return this.#reject(`${field}.body`, null, "must have up to 16384 characters");
    return { kind: "http", url: parsed, method, body };
  }

  #expression(text: string | undefined, field: string): Expression | undefined {
    if (typeof text !== "string" || text === "")
      return this.#reject(field, text ?? null, 'must be an expression such as "value < 19"');
    try {
      return parseExpression(text);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      return this.#reject(field, text, `must be an expression: ${error.message.replace("expression: ", "")}`);
    }
  }

  #reject(field: string, value: unknown, problem: string): undefined {
    this.problems.push({ field, value, problem });
  }
}

const units: Readonly<Partial<Record<string, number>>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Only servers on the node itself: everything else is reached by rules of the cloud. */
function localUrl(text: string | undefined): URL | undefined {
  if (typeof text !== "string" || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  const isLocal = url.protocol === "http:" && ["127.0.0.1", "localhost", "[::1]"].includes(url.hostname);
  return isLocal && url.username === "" && url.password === "" ? url : undefined;
}
