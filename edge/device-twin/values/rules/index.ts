import type { Clock } from "#shared/clock";
import { readDeviceRule, type DeviceRuleMeaning } from "#shared/device-rules";
import { describeError } from "#shared/errors";
import { DeviceEventRecorder } from "#shared/events";
import { asRecord } from "#shared/json";
import type { Device, DeviceRule } from "#shared/kube";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { DeviceValuesReported, ObjectChange } from "#shared/topics";
import { encodeRuleStatus, stampOf } from "#edge/edge-hub/codec";
import type { Store } from "#edge/store";
import { act } from "./actions.ts";
import type { DeviceRulesPort } from "./port.ts";
import { RuleRunner } from "./rule-runner.ts";
import { newMemory, type RuleMemory } from "./run-state.ts";

export type { DeviceRulesPort } from "./port.ts";

export interface DeviceRulesConfig {
  readonly node: string;
  /** Ports of local servers that rules may call. */
  readonly allowedPorts: readonly number[];
  readonly ownPorts: () => Iterable<number>;
}

export interface DeviceRulesParts {
  readonly port: DeviceRulesPort;
  readonly store: Pick<Store, "metas" | "outbox" | "transaction">;
  /** A Device with what it reports, as devicetwin has it. */
  readonly show: (device: Device) => Device;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface DeviceRules extends Running {
  /** Runs, failures and suppressed runs of all rules since they were made. */
  readonly counts: () => Readonly<Record<"runs" | "dryRuns" | "failures" | "suppressed", number>>;
}

/** Rules of one node: each report goes through those that watch its device. */
const mostRules = 500;
/** Statuses are for people: one write of each rule in this time is fast enough. */
const statusEveryMs = 5000;
/** Rows with what a rule remembers. */
const memoryType = "devicerulememory";

/**
 * Runs the DeviceRules of this node on what its devices report, with or without a link. What a rule remembers is on disk:
 * after a restart it runs only for what has changed.
 */
export async function startDeviceRules(
  config: DeviceRulesConfig,
  parts: DeviceRulesParts,
): Promise<DeviceRules> {
  const { port, store, log } = parts;
  await using stack = new AsyncDisposableStack();
  const engine = stack.use(new Engine(config, parts));
  for (const { key, value } of store.metas.listByType("devicerule")) {
    const name = store.metas.nameOf(key);
    const object: DeviceRule | undefined = parseRule(value);
    if (name && object) engine.change({ ...name, object });
    else log.warn("stored device rule cannot be read", { key });
  }
  stack.use(port.on("device-rule.changed", (change) => engine.change(change)));
  stack.use(port.on("device.reported", (report) => engine.report(report)));
  return Object.assign(running("devicerules", stack.move()), { counts: () => engine.counts() });
}

function parseRule(text: string): DeviceRule | undefined {
  try {
    const object: unknown = JSON.parse(text);
    // A row of a DeviceRule, which the API made.
    return asRecord(asRecord(object)?.["metadata"]) ? (object as DeviceRule) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

class Engine implements Disposable {
  readonly #config: DeviceRulesConfig;
  readonly #parts: DeviceRulesParts;
  readonly #runners = new Map<string, RuleRunner>();
  readonly #known = new Map<string, Map<string, string>>();
  readonly #changed = new Set<string>();
  #timer: Disposable | undefined;
  /** The first change of a status is shown at once, those that follow are collected. */
  #shownMs = Number.NEGATIVE_INFINITY;

  readonly #recorder: DeviceEventRecorder;

  constructor(config: DeviceRulesConfig, parts: DeviceRulesParts) {
    const { port, clock } = parts;
    this.#config = config;
    this.#parts = parts;
    this.#recorder = new DeviceEventRecorder({
      node: config.node,
      clock,
      emit: (event) => port.emit("event.recorded", { event }),
    });
  }

  /** A rule was stored or removed. */
  change({ namespace, name, object }: Pick<ObjectChange, "namespace" | "name" | "object">): void {
    const { store, log } = this.#parts;
    const key = `${namespace}/${name}`;
    const before = this.#runners.get(key);
    before?.[Symbol.dispose]();
    this.#runners.delete(key);
    const memoryKey = store.metas.keyOf({ type: memoryType, namespace, name });
    if (!object) {
      store.metas.remove(memoryKey);
      return;
    }
    const read = readDeviceRule(object);
    if (!read.ok) {
      log.warn("a device rule cannot be run", { rule: key, problems: read.problems });
      return this.#problem(object, "DeviceRuleInvalid", describe(read.problems));
    }
    if (read.meaning.node !== this.#config.node) return;
    if (this.#runners.size >= mostRules)
      return this.#problem(object, "DeviceRuleInvalid", `a node runs at most ${mostRules} rules`);
    const memory = before?.rule.uid === read.meaning.uid ? before?.memory : undefined;
    const kept = memory ?? this.#remembered(memoryKey, read.meaning);
    // Of a rule that was edited the latches are of other conditions.
    if (before) kept.latched = read.meaning.conditions.map(() => kept.holds);
    this.#start(key, read.meaning, kept);
  }

  /** A device reported. */
  report({ namespace, name, values, state }: DeviceValuesReported): void {
    const device = `${namespace}/${name}`;
    const watching = [...this.#runners.values()].filter((runner) => runner.watches(device));
    if (watching.length === 0) {
      // A rule that is made later reads what the device has then.
      this.#known.delete(device);
      return;
    }
    const known = this.#valuesOf(namespace, name);
    for (const { name: property, value } of values) known.set(property, value);
    if (state !== undefined) known.set("", state);
    for (const runner of watching) runner.evaluate(this.#known);
  }

  counts(): Record<"runs" | "dryRuns" | "failures" | "suppressed", number> {
    const sums = { runs: 0, dryRuns: 0, failures: 0, suppressed: 0 };
    for (const { memory } of this.#runners.values())
      for (const name of ["runs", "dryRuns", "failures", "suppressed"] as const) sums[name] += memory[name];
    return sums;
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    for (const runner of this.#runners.values()) runner[Symbol.dispose]();
    if (this.#changed.size > 0) this.#show();
    this.#runners.clear();
  }

  #start(key: string, rule: DeviceRuleMeaning, memory: RuleMemory): void {
    const { clock } = this.#parts;
    const about = {
      metadata: { namespace: rule.namespace, name: rule.name, ...(rule.uid ? { uid: rule.uid } : {}) },
    };
    const actionParts = { ...this.#parts, ...this.#config };
    const runner = new RuleRunner(rule, memory, {
      clock,
      act: (action) => act(action, rule.namespace, actionParts),
      onChanged: () => this.#remember(key, runner),
      onProblem: (reason, message) => this.#problem(about, reason, message),
    });
    this.#runners.set(key, runner);
    for (const { device } of rule.conditions) this.#valuesOf(rule.namespace, device);
    runner.evaluate(this.#known);
    this.#showSoon(key);
  }

  /** What was reported of a device before, from the store. */
  #valuesOf(namespace: string, name: string): Map<string, string> {
    const key = `${namespace}/${name}`;
    const known = this.#known.get(key);
    if (known) return known;
    const { store, show } = this.#parts;
    const row = store.metas.find(store.metas.keyOf({ type: "device", namespace, name }));
    // A row of a Device, which the API made.
    const status = row && show(JSON.parse(row.value) as Device).status;
    const values = new Map<string, string>();
    for (const { propertyName, reported } of status?.twins ?? [])
      if (reported) values.set(propertyName, reported.value);
    if (status?.state !== undefined && status.state !== "") values.set("", status.state);
    this.#known.set(key, values);
    return values;
  }

  #remembered(memoryKey: string, { uid }: DeviceRuleMeaning): RuleMemory {
    const row = this.#parts.store.metas.find(memoryKey);
    const stored = row && asRecord(JSON.parse(row.value));
    // Of this class, unless the rule is another one of the same name.
    return stored && stored["uid"] === uid
      ? { ...newMemory(), ...(stored["memory"] as RuleMemory) }
      : newMemory();
  }

  /** Not of a rule that was removed during its run; one that was edited has the memory of the earlier one. */
  #remember(key: string, { rule, memory }: RuleRunner): void {
    if (this.#runners.get(key)?.memory !== memory) return;
    const { store, log } = this.#parts;
    const { namespace, name, uid } = rule;
    const memoryKey = store.metas.keyOf({ type: memoryType, namespace, name });
    try {
      store.metas.put({ key: memoryKey, type: memoryType, value: JSON.stringify({ uid, memory }) });
    } catch (error) {
      log.warn("cannot store what a device rule did", { rule: key, error: describeError(error) });
    }
    this.#showSoon(key);
  }

  #showSoon(key: string): void {
    const { clock } = this.#parts;
    this.#changed.add(key);
    const leftMs = this.#shownMs + statusEveryMs - clock.monotonicMs();
    this.#timer ??= clock.after(Math.max(1, leftMs), () => {
      this.#timer = undefined;
      this.#shownMs = clock.monotonicMs();
      this.#show();
    });
  }

  /** Reports the statuses that changed; of one that waits for the cloud the newest replaces the older. */
  #show(): void {
    const { store, clock, port, log } = this.#parts;
    const stamp = stampOf(clock);
    try {
      store.transaction(() => {
        for (const key of this.#changed) {
          const runner = this.#runners.get(key);
          const uid = runner?.rule.uid;
          if (!runner || uid === undefined) continue;
          const frame = encodeRuleStatus(stamp, runner.rule, { uid, status: runner.status });
          store.outbox.put("twin", `rule-status/${key}`, frame);
        }
      });
      this.#changed.clear();
      void port.emit("outbox.added", {});
    } catch (error) {
      log.warn("cannot report the status of device rules", { error: describeError(error) });
    }
  }

  #problem({ metadata }: Pick<DeviceRule, "metadata">, reason: string, message: string): void {
    const { namespace = "default", name = "", uid = "" } = metadata;
    this.#parts.log.warn("device rule has a problem", { rule: `${namespace}/${name}`, reason, message });
    const about = { apiVersion: "rules.kubeedge.io/v1alpha1", kind: "DeviceRule", namespace, name, uid };
    void this.#recorder.record(about, reason, message);
  }
}

function describe(problems: readonly { readonly field: string; readonly problem: string }[]): string {
  return problems.map(({ field, problem }) => `${field} ${problem}`).join("; ");
}
