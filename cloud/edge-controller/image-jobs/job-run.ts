import type { KubeClient } from "#cloud/kube-client";
import { rfc3339, type Clock } from "#shared/clock";
import { AppError, asError, describeError, ProtocolError } from "#shared/errors";
import type { ImageJobReport, ImageJobRequest, PulledImage } from "#shared/image-jobs";
import type { Logger } from "#shared/log";
import type { ByteStream } from "#shared/streams";
import { isOver, type ImagePrePullStatus, type JobPlan, type JobState, type NodeStatus } from "./job.ts";
import { pullOnNode } from "./node-pull.ts";
import { JobStatusWriter } from "./status-writer.ts";

export interface JobRunOptions {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly name: string;
  readonly plan: JobPlan;
  /** What each node is asked for. */
  readonly request: ImageJobRequest;
  readonly nodes: readonly string[];
  /** What an earlier cloudcore wrote. */
  readonly previous: ImagePrePullStatus | undefined;
  readonly openStream: (node: string, service: string) => Promise<ByteStream>;
  /** The job has ended, and the API has its last status, or does not take it. */
  readonly onOver: () => void;
}

interface NodeRun {
  status: NodeStatus;
  phase: "waiting" | "running" | "over";
  /** It had its turn: its time runs, also while it is away. */
  hasBegun: boolean;
  /** It is known to be away: it begins when it connects again, or is asked again after a while. */
  isAway: boolean;
  /** By the monotonic clock. */
  retryAtMs: number;
  connections: number;
  /** Why it did not get further. */
  problem: string;
  /** When it has to be finished, by the monotonic clock; a node that is away has to come back until then. */
  deadlineMs: number;
  /** The latest report of each image of the job. */
  readonly images: Map<string, PulledImage>;
}

/** A node that has too many streams or jobs is asked again. */
const retryMs = 10_000;

/**
 * One job on its nodes, so many at once. A node that is away, or whose link breaks, does not hold up others, and begins again when
 * it is back, until its time is over. With too many failures no further node begins.
 */
export class JobRun implements AsyncDisposable {
  readonly #options: JobRunOptions;
  readonly #nodes: ReadonlyMap<string, NodeRun>;
  readonly #images: ReadonlySet<string>;
  readonly #closed = new AbortController();
  readonly #writer: JobStatusWriter;
  #summary: Omit<ImagePrePullStatus, "status">;
  #timer: Disposable | undefined;
  #work = new Set<Promise<void>>();

  constructor(options: JobRunOptions) {
    const { clock, plan, nodes, previous, name, kube, log } = options;
    this.#options = options;
    this.#images = new Set(plan.images);
    const deadlineMs = clock.monotonicMs() + plan.timeoutMs;
    const before = new Map(previous?.status?.map((one) => [one.nodeStatus.nodeName, one]));
    this.#nodes = new Map(nodes.map((node) => [node, newRun(node, before.get(node), deadlineMs)]));
    this.#summary = { state: "Pulling", event: "Init", action: "Success", time: this.#now() };
    const { signal } = this.#closed;
    this.#writer = new JobStatusWriter({ kube, clock, log, name, read: () => this.#status(), signal });
  }

  start(): void {
    this.#writer.changed();
    this.#next();
  }

  nodeConnected(node: string): void {
    const run = this.#nodes.get(node);
    if (!run) return;
    run.connections += 1;
    run.isAway = false;
    this.#next();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort(new AppError("job-stopped", "the job was deleted, or cloudcore shuts down"));
    this.#timer?.[Symbol.dispose]();
    await Promise.all(this.#work);
    await this.#writer.flush();
  }

  /** Begins on further nodes, ends those whose time is over, and the job with the last. */
  #next(): void {
    if (this.#closed.signal.aborted || isOver(this.#summary.state)) return;
    this.#expire();
    const runs = [...this.#nodes];
    const running = runs.filter(([, { phase }]) => phase === "running").length;
    const ready = runs.filter(([, { phase, isAway }]) => phase === "waiting" && !isAway);
    if (!this.#isTooMuch())
      for (const [node, run] of ready.slice(0, Math.max(0, this.#options.plan.concurrency - running)))
        this.#begin(node, run);
    this.#finish();
    this.#setTimer();
  }

  #begin(node: string, run: NodeRun): void {
    run.phase = "running";
    if (!run.hasBegun) run.deadlineMs = this.#options.clock.monotonicMs() + this.#options.plan.timeoutMs;
    run.hasBegun = true;
    const work = this.#pull(node, run).finally(() => {
      this.#work.delete(work);
      this.#next();
    });
    this.#work.add(work);
  }

  async #pull(node: string, run: NodeRun): Promise<void> {
    const { clock, request, openStream } = this.#options;
    const { connections } = run;
    const over = new AbortController();
    const leftMs = Math.max(1, run.deadlineMs - clock.monotonicMs());
    using _timer = clock.after(leftMs, () => over.abort(new AppError("job-timeout", "timeout")));
    run.images.clear();
    try {
      await pullOnNode({
        openStream: (service) => openStream(node, service),
        request,
        onReport: (report) => this.#take(node, run, report),
        signal: AbortSignal.any([this.#closed.signal, over.signal]),
      });
    } catch (error) {
      if (this.#closed.signal.aborted) return;
      if (over.signal.aborted) return this.#timeOut(node, run);
      if (error instanceof ProtocolError || isFinal(error))
        return this.#fail(node, run, asError(error).message);
      run.problem = describeError(error);
      run.phase = "waiting";
      // It may have come back before the end of its last link was seen here.
      run.isAway = run.connections === connections;
      run.retryAtMs = clock.monotonicMs() + retryMs;
    }
  }

  #take(node: string, run: NodeRun, report: ImageJobReport): void {
    switch (report.kind) {
      case "state":
        return this.#set(node, run, {
          state: report.state,
          event: report.state === "Checking" ? "Init" : "Check",
        });
      case "image":
        if (this.#images.has(report.image.image)) run.images.set(report.image.image, report.image);
        return;
      case "end": {
        run.phase = "over";
        const { event = "Pull", reason } = report.failure ?? {};
        this.#set(node, run, { state: report.failure ? "Failed" : "Successful", event, reason });
      }
    }
  }

  #set(
    node: string,
    run: NodeRun,
    { state, event, reason }: { state: JobState; event: string; reason?: string | undefined },
  ): void {
    const action = state === "Failed" ? "Failure" : "Success";
    const time = this.#now();
    run.status = {
      nodeStatus: { nodeName: node, state, event, action, time, ...(reason === undefined ? {} : { reason }) },
      ...(run.images.size > 0 ? { imageStatus: [...run.images.values()] } : {}),
    };
    this.#writer.changed();
  }

  #fail(node: string, run: NodeRun, reason: string, event = "Pull"): void {
    run.phase = "over";
    this.#set(node, run, { state: "Failed", event, reason });
  }

  #timeOut(node: string, run: NodeRun): void {
    const seconds = this.#options.plan.timeoutMs / 1000;
    const problem = run.problem === "" ? "" : `: ${run.problem}`;
    this.#fail(node, run, `not finished after ${seconds} seconds${problem}`, "TimeOut");
  }

  /** Nodes that did not come back in time have failed, others may be asked again. */
  #expire(): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const [node, run] of this.#nodes) {
      if (run.phase !== "waiting" || !run.isAway) continue;
      if (run.deadlineMs <= nowMs) this.#timeOut(node, run);
      else if (run.retryAtMs <= nowMs) run.isAway = false;
    }
  }

  #setTimer(): void {
    this.#timer?.[Symbol.dispose]();
    const away = [...this.#nodes.values()].filter(({ phase, isAway }) => phase === "waiting" && isAway);
    if (away.length === 0 || isOver(this.#summary.state)) return;
    const { clock } = this.#options;
    const first = Math.min(...away.map(({ deadlineMs, retryAtMs }) => Math.min(deadlineMs, retryAtMs)));
    this.#timer = clock.after(Math.max(1, first - clock.monotonicMs()), () => this.#next());
  }

  #failures(): number {
    return [...this.#nodes.values()].filter(({ status }) => status.nodeStatus.state === "Failed").length;
  }

  #isTooMuch(): boolean {
    return this.#failures() > this.#nodes.size * this.#options.plan.tolerance;
  }

  #finish(): void {
    const phases = [...this.#nodes.values()].map(({ phase }) => phase);
    if (phases.includes("running") || (phases.includes("waiting") && !this.#isTooMuch())) return;
    const failed = this.#failures();
    const isFailed = this.#isTooMuch();
    const share = `the number of failed nodes is ${failed}/${this.#nodes.size}`;
    const reason = isFailed ? `${share}, which exceeds the failure tolerance threshold` : share;
    this.#summary = {
      state: isFailed ? "Failed" : "Successful",
      event: "Pull",
      action: isFailed ? "Failure" : "Success",
      time: this.#now(),
      ...(failed > 0 ? { reason } : {}),
    };
    this.#options.log.info("job for images has ended", { job: this.#options.name, ...this.#summary });
    this.#writer.changed();
    void this.#writer.flush().then(this.#options.onOver);
  }

  #status(): ImagePrePullStatus {
    return { ...this.#summary, status: [...this.#nodes.values()].map(({ status }) => status) };
  }

  #now(): string {
    return rfc3339(this.#options.clock.nowMs());
  }
}

function newRun(node: string, previous: NodeStatus | undefined, deadlineMs: number): NodeRun {
  const hasEnded = isOver(previous?.nodeStatus.state);
  return {
    status: hasEnded && previous ? previous : { nodeStatus: { nodeName: node } },
    phase: hasEnded ? "over" : "waiting",
    hasBegun: false,
    isAway: false,
    retryAtMs: 0,
    connections: 0,
    problem: "",
    deadlineMs,
    images: new Map(),
  };
}

/** A node of KubeEdge has no streams, and will have none when it is back. */
function isFinal(error: unknown): boolean {
  return error instanceof AppError && error.code === "no-streams";
}
