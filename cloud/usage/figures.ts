import type { RequestFigure } from "#cloud/kube-api/http";
import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import { Counters, Durations, formatFamilies, gauge, processFamilies, type Family } from "#shared/prometheus";
import type { CloudCatalog } from "#shared/topics";

/** How far the statuses of devices are behind what nodes report. */
export interface StatusLag {
  readonly waiting: number;
  readonly oldestMs: number;
  readonly writes: number;
}

export type FiguresPort = Port<CloudCatalog, never, never, "node.connected" | "node.disconnected", never>;

/** A local read takes a millisecond, a durable write some; the longest is the time limit of clients. Each is a line of a page. */
const bounds = [0.005, 0.05, 0.5, 5, 30];

/** What cloudcore counts of itself, for `/metrics`. */
export class CloudFigures {
  readonly #startedMs: number;
  readonly #nodes = new Set<string>();
  readonly #messages = new Counters({
    name: "kubeedge_messages_total",
    help: "Messages between the modules of cloudcore, by topic.",
  });
  readonly #sessions = new Counters({
    name: "kubeedge_node_sessions_total",
    help: "Sessions of nodes that began.",
  });
  readonly #requests = new Counters({
    name: "apiserver_request_total",
    help: "Requests to the embedded API, by verb, resource and HTTP code.",
  });
  readonly #durations = new Durations({
    name: "apiserver_request_duration_seconds",
    help: "Time until the answer of the embedded API begins.",
    bounds,
  });

  constructor(clock: Pick<Clock, "nowMs">) {
    this.#startedMs = clock.nowMs();
  }

  #statuses: (() => StatusLag) | undefined;

  /** Shows the figures of the device controller as well. */
  watchStatuses(read: () => StatusLag): void {
    this.#statuses = read;
  }

  readonly countMessage = (topic: string): void => this.#messages.add({ topic });

  readonly countRequest = ({ code, seconds, ...labels }: RequestFigure): void => {
    this.#requests.add({ ...labels, code: String(code) });
    // A watch is answered at once, and says nothing.
    const { verb, group, resource } = labels;
    if (verb !== "WATCH") this.#durations.observe({ verb, group, resource }, seconds);
  };

  follow(port: FiguresPort): Disposable {
    const stack = new DisposableStack();
    stack.use(
      port.on("node.connected", ({ node }) => {
        this.#nodes.add(node);
        this.#sessions.add({});
      }),
    );
    stack.use(port.on("node.disconnected", ({ node }) => void this.#nodes.delete(node)));
    return stack;
  }

  readonly text = (): string => {
    const connected = {
      name: "kubeedge_connected_nodes",
      help: "Nodes that are connected.",
      type: "gauge",
      samples: [{ value: this.#nodes.size }],
    } as const;
    const counted = [this.#sessions, this.#messages, this.#requests, this.#durations];
    return formatFamilies([
      connected,
      ...(this.#statuses ? statusFamilies(this.#statuses()) : []),
      ...counted.map((one) => one.family()),
      ...processFamilies(this.#startedMs),
    ]);
  };
}

function statusFamilies({ waiting, oldestMs, writes }: StatusLag): Family[] {
  return [
    gauge("kubeedge_device_status_waiting", "Devices whose last report is not in their status.", waiting),
    gauge(
      "kubeedge_device_status_behind_seconds",
      "How long the oldest of those reports has waited.",
      oldestMs / 1000,
    ),
    {
      name: "kubeedge_device_status_writes_total",
      help: "Statuses of devices that were written.",
      type: "counter",
      samples: [{ value: writes }],
    },
  ];
}
