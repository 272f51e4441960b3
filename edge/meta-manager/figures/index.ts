import type { Clock } from "#shared/clock";
import { Counters, formatFamilies, gauge, processFamilies, type Family } from "#shared/prometheus";
import type { UsageCounters } from "#shared/usage";
import type { Store } from "#edge/store";
import { containerFamilies, nodeFamilies } from "./container-families.ts";
import type { FiguresPort } from "./port.ts";

export type { FiguresPort } from "./port.ts";

export interface FiguresParts {
  readonly port: FiguresPort;
  readonly store: Pick<Store, "outbox" | "backlog">;
}

/** A measurement lists the containers of the engine: pages that are read more often show the last one. */
const measureEveryMs = 1000;

/** What edgecore counts of itself and its containers, for `/metrics`. Containers are measured when somebody asks. */
export class EdgeFigures {
  readonly #clock: Pick<Clock, "nowMs" | "monotonicMs">;
  readonly #startedMs: number;
  readonly #messages = new Counters({
    name: "kubeedge_messages_total",
    help: "Messages between the modules of edgecore, by topic.",
  });
  #isConnected = false;
  #rules: (() => Readonly<Record<string, number>>) | undefined;

  constructor(clock: Pick<Clock, "nowMs" | "monotonicMs">) {
    this.#clock = clock;
    this.#startedMs = clock.nowMs();
  }

  readonly countMessage = (topic: string): void => this.#messages.add({ topic });

  /** @param counts of the device rules, by what is counted */
  countRules(counts: () => Readonly<Record<string, number>>): void {
    this.#rules = counts;
  }

  /** What answers `/metrics` and the paths below it. */
  serve({ port, store }: FiguresParts): ServedFigures {
    const watch = port.on("link.changed", ({ connected }) => {
      this.#isConnected = connected;
    });
    let last: { readonly atMs: number; readonly counters: Promise<UsageCounters> } | undefined;
    const counted = (): Promise<UsageCounters> => {
      const nowMs = this.#clock.monotonicMs();
      if (!last || nowMs - last.atMs >= measureEveryMs)
        last = { atMs: nowMs, counters: port.ask("usage.measure", {}) };
      return last.counters;
    };
    const measured = async (families: readonly (typeof containerFamilies)[]): Promise<string> => {
      const counters = await counted();
      return formatFamilies(families.flatMap((make) => make(counters)));
    };
    return {
      answer: async (part) => {
        if (part === "cadvisor") return measured([containerFamilies]);
        if (part === "resource") return measured([containerFamilies, nodeFamilies]);
        return part === "" ? formatFamilies(this.#own(store)) : undefined;
      },
      [Symbol.dispose]: () => watch[Symbol.dispose](),
    };
  }

  #own({ outbox, backlog }: FiguresParts["store"]): readonly Family[] {
    const { entries, bytes } = outbox.size();
    const oldestMs = outbox.oldestMs();
    const ageSeconds = oldestMs === undefined ? 0 : Math.max(0, this.#clock.nowMs() - oldestMs) / 1000;
    const { folded, droppedUploads, droppedReports } = backlog.losses();
    return [
      gauge("kubeedge_link_connected", "Whether there is a link to the cloud.", this.#isConnected ? 1 : 0),
      gauge("kubeedge_outbox_messages", "Messages that wait for the cloud.", entries),
      gauge("kubeedge_outbox_bytes", "Size of the messages that wait for the cloud.", bytes),
      gauge("kubeedge_outbox_oldest_seconds", "Age of the oldest message that waits.", ageSeconds),
      {
        name: "kubeedge_device_rules_total",
        help: "Runs of device rules: done, only counted, failed, and suppressed because there were too many.",
        type: "counter",
        samples: Object.entries(this.#rules?.() ?? {}).map(([kind, value]) => ({ labels: { kind }, value })),
      },
      {
        name: "kubeedge_outbox_lost_total",
        help: "Messages that were folded or dropped because the outbox was full.",
        type: "counter",
        samples: [
          { labels: { kind: "folded" }, value: folded },
          { labels: { kind: "upload" }, value: droppedUploads },
          { labels: { kind: "report" }, value: droppedReports },
        ],
      },
      this.#messages.family(),
      ...processFamilies(this.#startedMs),
    ];
  }
}

export interface ServedFigures extends Disposable {
  /** The text for a part: "" for edgecore itself, "cadvisor", "resource"; undefined when there is no such part. */
  readonly answer: (part: string) => Promise<string | undefined>;
}
