import type { Clock } from "#shared/clock";
import type { DeviceRuleMeaning, RuleAction } from "#shared/device-rules";
import { judge, statusOf, type KnownValues, type RuleMemory } from "./run-state.ts";
import type { DeviceRuleStatus } from "#shared/kube";

export interface RuleRunnerParts {
  readonly clock: Pick<Clock, "after" | "nowMs" | "monotonicMs">;
  /** @returns why it could not be done */
  readonly act: (action: RuleAction) => Promise<string | undefined>;
  /** The memory changed, and has to be stored. */
  readonly onChanged: () => void;
  /** For people: a run that failed, or a rule that would run too often. */
  readonly onProblem: (reason: "DeviceRuleFailed" | "DeviceRuleSuppressed", message: string) => void;
}

/** Runs of one rule in a minute: one that sets what it, or another one, watches must not keep the node busy. */
const mostRunsAMinute = 30;
const minuteMs = 60_000;

/**
 * One rule: runs its actions when its conditions begin to hold, and `otherwise` when they no longer do. Runs follow each
 * other; of what changes during a run only the last state counts.
 */
export class RuleRunner implements Disposable {
  readonly rule: DeviceRuleMeaning;
  readonly memory: RuleMemory;
  readonly #parts: RuleRunnerParts;
  #waitingFor: readonly string[] = [];
  /** Whether the conditions hold, as the last values have it. */
  #isTrue: boolean;
  #timer: Disposable | undefined;
  #isBusy = false;
  #isEnded = false;
  /** When it ran, monotonic. */
  #ranMs: number[] = [];

  constructor(rule: DeviceRuleMeaning, memory: RuleMemory, parts: RuleRunnerParts) {
    this.rule = rule;
    this.memory = memory;
    this.#parts = parts;
    this.#isTrue = memory.holds;
  }

  get status(): DeviceRuleStatus {
    return statusOf(this.rule, this.memory, this.#waitingFor);
  }

  /** Whether it reads a value of this device. */
  watches(device: string): boolean {
    return this.rule.conditions.some((condition) => `${this.rule.namespace}/${condition.device}` === device);
  }

  /** Values have changed. */
  evaluate(known: KnownValues): void {
    if (this.rule.isSuspended || this.#isEnded) return;
    const judgement = judge(this.rule, known, this.memory);
    const waitingFor = judgement.kind === "waiting" ? judgement.for : [];
    if (waitingFor.join("\n") !== this.#waitingFor.join("\n")) {
      this.#waitingFor = waitingFor;
      this.#parts.onChanged();
    }
    if (judgement.kind === "waiting") return;
    if (judgement.holds === this.#isTrue) return;
    this.#isTrue = judgement.holds;
    this.#stopWaiting();
    if (this.#isTrue === this.memory.holds) return;
    const { forMs } = this.rule;
    if (this.#isTrue && forMs > 0) this.#wait(forMs);
    else this.#settle();
  }

  [Symbol.dispose](): void {
    this.#isEnded = true;
    this.#stopWaiting();
  }

  #wait(ms: number): void {
    this.#timer = this.#parts.clock.after(ms, () => {
      this.#timer = undefined;
      this.#settle();
    });
  }

  #stopWaiting(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  /** Brings the rule to what its conditions say, if it is time for that. */
  #settle(): void {
    if (this.#isBusy || this.#isEnded || this.#timer || this.#isTrue === this.memory.holds) return;
    const { clock, onChanged, onProblem } = this.#parts;
    const nowMs = clock.monotonicMs();
    const leftMs = (this.#ranMs.at(-1) ?? -Infinity) + this.rule.minIntervalMs - nowMs;
    if (leftMs > 0) return this.#wait(leftMs);
    this.#ranMs = this.#ranMs.filter((ms) => nowMs - ms < minuteMs);
    const [oldest] = this.#ranMs;
    if (oldest !== undefined && this.#ranMs.length >= mostRunsAMinute) {
      this.memory.suppressed += 1;
      onProblem(
        "DeviceRuleSuppressed",
        `more than ${mostRunsAMinute} runs in a minute: it waits. Does it set what it watches?`,
      );
      onChanged();
      return this.#wait(oldest + minuteMs - nowMs);
    }
    this.#ranMs.push(nowMs);
    void this.#run(this.#isTrue);
  }

  /** Never rejects. What is done twice after a crash is stored after it is done. */
  async #run(holds: boolean): Promise<void> {
    const { clock, act, onChanged, onProblem } = this.#parts;
    this.#isBusy = true;
    const actions = holds ? this.rule.actions : this.rule.otherwise;
    const problems: string[] = [];
    for (const action of this.rule.isDryRun ? [] : actions) {
      const problem = await act(action);
      if (problem !== undefined) problems.push(`${action.kind}: ${problem}`);
    }
    this.memory.holds = holds;
    this.#count(problems, actions.length > 0, clock.nowMs());
    if (problems.length > 0) onProblem("DeviceRuleFailed", problems.join("; "));
    this.#isBusy = false;
    onChanged();
    this.#settle();
  }

  #count(problems: readonly string[], hasActions: boolean, nowMs: number): void {
    const { memory } = this;
    if (!hasActions) return;
    memory.lastRunMs = nowMs;
    if (this.rule.isDryRun) memory.dryRuns += 1;
    else memory.runs += 1;
    memory.lastError = problems.length > 0 ? problems.join("; ").slice(0, 500) : undefined;
    if (problems.length > 0) memory.failures += 1;
  }
}
