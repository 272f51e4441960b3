import { isKubeError, objectAt, resources, type KubeClient } from "#cloud/kube-client";
import { rfc3339, type Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { Rule, RuleStatus } from "#shared/kube";
import type { Logger } from "#shared/log";
import { textOfProblem, type CompiledRule } from "#cloud/router/rules";
import { RuleCounters, type TakenCounts } from "./rule-counters.ts";

export interface StatusWriterOptions {
  readonly kube: KubeClient;
  /** The rules as they are now, by `<namespace>/<name>`. */
  readonly rules: () => ReadonlyMap<string, CompiledRule>;
  /** messages of a rule that wait */
  readonly queued: (key: string) => number;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Written {
  readonly uid: string;
  readonly status: RuleStatus;
}

/** One write of a rule in this time, however many messages it has. */
const everyMs = 2_000;
/** What changes together is written together. */
const soonMs = 50;
/** Rules written each time: a thousand rules take 10 s, and load nobody. */
const mostAtOnce = 200;
/** As many problems as the schema allows. */
const mostErrors = 32;

/** Keeps the statuses of rules up to date: whether they are in effect, and what became of their messages. */
export class RuleStatusWriter implements AsyncDisposable {
  readonly counters: RuleCounters;
  readonly #options: StatusWriterOptions;
  readonly #dirty = new Set<string>();
  #timer: Disposable | undefined;
  /** of the last writes */
  #writtenMs = -Infinity;
  /** What was written last; the informer may be behind. */
  readonly #written = new Map<string, Written>();
  #writing: Promise<void> | undefined;
  #closed = false;

  constructor(options: StatusWriterOptions) {
    this.#options = options;
    this.counters = new RuleCounters(
      () => options.clock.nowMs(),
      (rule) => this.changed(rule),
    );
  }

  /** Its status may differ from what is written. */
  changed(rule: string): void {
    this.#dirty.add(rule);
    this.#plan();
  }

  /** Writes what is counted. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    await this.#writing;
    await this.#writeAll();
  }

  #plan(): void {
    if (this.#closed || this.#timer || this.#writing) return;
    const { clock } = this.#options;
    const waitMs = Math.max(soonMs, this.#writtenMs + everyMs - clock.monotonicMs());
    this.#timer = clock.after(waitMs, () => {
      this.#timer = undefined;
      this.#writing = this.#writeAll().finally(() => {
        this.#writing = undefined;
        this.#writtenMs = clock.monotonicMs();
        if (this.#dirty.size > 0) this.#plan();
      });
    });
  }

  async #writeAll(): Promise<void> {
    // What changes meanwhile is written again.
    const rules = this.#options.rules();
    for (const key of [...this.#dirty].slice(0, mostAtOnce)) {
      this.#dirty.delete(key);
      const compiled = rules.get(key);
      const counts = this.counters.take(key);
      if (compiled) await this.#write(compiled, counts);
      else this.#written.delete(key);
    }
  }

  async #write(compiled: CompiledRule, counts: TakenCounts | undefined): Promise<void> {
    const { kube, queued, log } = this.#options;
    const { rule } = compiled;
    const key = `${rule.metadata.namespace}/${rule.metadata.name}`;
    const { uid = "" } = rule.metadata;
    const known = this.#written.get(key);
    const before = known?.uid === uid ? known.status : rule.status;
    const status = statusOf(compiled, { before, counts, queuedMessages: queued(key) });
    if (Bun.deepEquals(status, before)) return;
    try {
      const patch = { type: "merge", subresource: "status" } as const;
      await kube.patch<Rule>(resources.rules, objectAt(rule), { status }, patch);
      this.#written.set(key, { uid, status });
    } catch (error) {
      if (isKubeError(error, 404)) return;
      if (counts) this.counters.restore(key, counts);
      this.#dirty.add(key);
      log.warn("cannot write the status of a rule, trying again", { rule: key, error: describeError(error) });
    }
  }
}

interface StatusParts {
  readonly before: RuleStatus | undefined;
  readonly counts: TakenCounts | undefined;
  readonly queuedMessages: number;
}

function statusOf(
  { meaning, problems }: CompiledRule,
  { before = {}, counts, queuedMessages }: StatusParts,
): RuleStatus {
  return {
    ...before,
    state: meaning ? "Active" : "Invalid",
    ...countsOf(before, counts),
    queuedMessages,
    errors: meaning ? lastErrorOf(before, counts) : problems.slice(0, mostErrors).map(textOfProblem),
  };
}

function countsOf(before: RuleStatus, counts: TakenCounts | undefined): RuleStatus {
  const { successMessages = 0, failMessages = 0, deadLetters = 0 } = before;
  if (!counts) return { successMessages, failMessages, deadLetters };
  const { lastSuccessMs, lastFailureMs } = counts;
  return {
    successMessages: successMessages + counts.successes,
    failMessages: failMessages + counts.failures,
    deadLetters: deadLetters + counts.deadLetters,
    ...(lastSuccessMs !== undefined && { lastSuccessTime: rfc3339(lastSuccessMs) }),
    ...(lastFailureMs !== undefined && { lastFailureTime: rfc3339(lastFailureMs) }),
  };
}

/** What was wrong with a rule is no error of one that is in effect. */
function lastErrorOf({ state, errors = [] }: RuleStatus, counts: TakenCounts | undefined): string[] {
  const last = counts?.lastError ?? (state === "Active" ? errors[0] : undefined);
  return last === undefined ? [] : [last];
}
