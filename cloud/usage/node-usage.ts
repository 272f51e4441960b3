import { WatchedNode, type ReceivedUsage, type WatchedNodeDeps } from "./watched-node.ts";

/** `kubectl top` is repeated, and the HorizontalPodAutoscaler asks each 15 s: the nodes go on for some minutes. */
const keepAskingMs = 300_000;
const sweepEveryMs = 30_000;
/** How long an answer waits for nodes that were not asked before: they measure the processor for a second. */
const firstReportMs = 4000;

/** What nodes report of their usage. A node reports while somebody asks for it, and for five minutes after. */
export class NodeUsage implements Disposable {
  readonly #deps: WatchedNodeDeps;
  readonly #nodes = new Map<string, WatchedNode>();
  readonly #sweep: Disposable;

  constructor(deps: WatchedNodeDeps) {
    this.#deps = deps;
    this.#sweep = deps.clock.every(sweepEveryMs, () => this.#forgetUnasked());
  }

  /** The last reports of these nodes. Those that cannot be reached, or do not report in time, are left out. */
  async read(names: Iterable<string>, signal?: AbortSignal): Promise<ReadonlyMap<string, ReceivedUsage>> {
    const nodes = [...new Set(names)].map((name) => [name, this.#watched(name)] as const);
    await this.#firstReports(
      nodes.map(([, node]) => node.ask()),
      signal,
    );
    return new Map(nodes.flatMap(([name, { usage }]) => (usage ? [[name, usage]] : [])));
  }

  [Symbol.dispose](): void {
    this.#sweep[Symbol.dispose]();
    for (const node of this.#nodes.values()) node[Symbol.dispose]();
    this.#nodes.clear();
  }

  async #firstReports(reports: readonly Promise<void>[], signal?: AbortSignal): Promise<void> {
    const late = Promise.withResolvers<void>();
    using _timer = this.#deps.clock.after(firstReportMs, late.resolve);
    signal?.addEventListener("abort", () => late.resolve(), { once: true });
    await Promise.race([Promise.all(reports), late.promise]);
  }

  #watched(name: string): WatchedNode {
    const known = this.#nodes.get(name);
    if (known) return known;
    const made = new WatchedNode(name, this.#deps);
    this.#nodes.set(name, made);
    return made;
  }

  #forgetUnasked(): void {
    const nowMs = this.#deps.clock.monotonicMs();
    for (const [name, node] of this.#nodes) {
      if (nowMs - node.askedMs < keepAskingMs) continue;
      node[Symbol.dispose]();
      this.#nodes.delete(name);
    }
  }
}
