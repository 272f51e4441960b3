import type { DeviceRuleMeaning } from "#shared/device-rules";
import { truthy } from "#shared/devices";
import type { DeviceRuleStatus } from "#shared/kube";

/** Reported values of devices: `<namespace>/<device>` → property → value; "" is the state. */
export type KnownValues = ReadonlyMap<string, ReadonlyMap<string, string>>;

/** What is kept of a rule over restarts. */
export interface RuleMemory {
  /** Whether its conditions hold, and it has run for that. */
  holds: boolean;
  /** By condition: whether it holds, for conditions with `until`. */
  latched: boolean[];
  runs: number;
  dryRuns: number;
  failures: number;
  suppressed: number;
  lastRunMs: number | undefined;
  lastError: string | undefined;
}

export function newMemory(): RuleMemory {
  return {
    holds: false,
    latched: [],
    runs: 0,
    dryRuns: 0,
    failures: 0,
    suppressed: 0,
    lastRunMs: undefined,
    lastError: undefined,
  };
}

/** What the conditions of a rule are by the values that are known. */
export type Judgement =
  | { readonly kind: "known"; readonly holds: boolean }
  /** Devices and properties without a value: nothing is decided before they have one. */
  | { readonly kind: "waiting"; readonly for: readonly string[] };

/** @param memory its latches are changed */
export function judge(rule: DeviceRuleMeaning, known: KnownValues, memory: RuleMemory): Judgement {
  const missing: string[] = [];
  let holds = true;
  for (const [index, { device, property, holds: test, until }] of rule.conditions.entries()) {
    const value = known.get(`${rule.namespace}/${device}`)?.get(property ?? "");
    if (value === undefined) {
      missing.push(property === undefined ? `the state of ${device}` : `${device}/${property}`);
      continue;
    }
    const given = typed(value);
    const latched = memory.latched[index] === true;
    const is = until && latched ? !truthy(until(given)) : truthy(test(given));
    memory.latched[index] = is;
    if (!is) holds = false;
  }
  return missing.length > 0 ? { kind: "waiting", for: missing } : { kind: "known", holds };
}

/** Values are texts: true and false are compared as such. */
function typed(value: string): unknown {
  if (value === "true") return true;
  return value === "false" ? false : value;
}

/** The status of a rule in the API. */
export function statusOf(
  rule: DeviceRuleMeaning,
  memory: RuleMemory,
  waitingFor: readonly string[],
): DeviceRuleStatus {
  const { holds, runs, dryRuns, failures, suppressed, lastRunMs, lastError } = memory;
  return {
    state: rule.isSuspended ? "Suspended" : waitingFor.length > 0 ? "Waiting" : "Active",
    holds,
    runs,
    dryRuns,
    failures,
    suppressed,
    ...(lastRunMs === undefined
      ? {}
      : { lastRunTime: new Date(lastRunMs).toISOString().replace(/\.\d+Z$/, "Z") }),
    ...(lastError === undefined ? {} : { lastError }),
    waitingFor: [...waitingFor],
  };
}
