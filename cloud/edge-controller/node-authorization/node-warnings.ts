import { recordEvent, type EventDeps } from "#cloud/controllers/framework";
import { resources } from "#cloud/kube-client";

export interface NodeWarning {
  /** What it is about: of one node and topic there is one Event and one log line in a while. */
  readonly topic: string;
  readonly reason: string;
  readonly message: string;
}

export interface NodeWarningsOptions extends EventDeps {
  readonly uidOf: (node: string) => string | undefined;
}

/** Until the same is reported again: as rarely as an operator looks, and few enough Events for the database. */
const quietMs = 300_000;
/** Topics of nodes at a time; of more the oldest are forgotten, and reported again. */
const mostRemembered = 2000;

/** Reports what a node was refused: as an Event on its Node and in the log, at most once in five minutes a topic. */
export class NodeWarnings {
  readonly #options: NodeWarningsOptions;
  readonly #reported = new Map<string, { atMs: number; suppressed: number }>();

  constructor(options: NodeWarningsOptions) {
    this.#options = options;
  }

  warn(node: string, { topic, reason, message }: NodeWarning): void {
    const { clock, log, uidOf } = this.#options;
    const key = `${topic}/${node}`;
    const nowMs = clock.monotonicMs();
    const before = this.#reported.get(key);
    if (before && nowMs - before.atMs < quietMs) {
      before.suppressed += 1;
      return;
    }
    this.#remember(key, nowMs);
    log.warn("node request refused", { node, reason, message, suppressed: before?.suppressed ?? 0 });
    const metadata = { name: node, ...(uidOf(node) !== undefined && { uid: uidOf(node) ?? "" }) };
    const text = { type: "Warning", reason, message, component: "cloudcore" } as const;
    void recordEvent(this.#options, resources.nodes, { metadata }, text);
  }

  #remember(key: string, nowMs: number): void {
    this.#reported.delete(key);
    this.#reported.set(key, { atMs: nowMs, suppressed: 0 });
    const [oldest] = this.#reported.keys();
    if (this.#reported.size > mostRemembered && oldest !== undefined) this.#reported.delete(oldest);
  }
}
