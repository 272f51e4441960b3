import { resources, type KubeClient } from "#cloud/kube-client";
import { rfc3339, type Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { Event } from "#shared/kube";
import { RateLimitedLog, type Logger } from "#shared/log";

/** An Event a node in this time: two edgecores that take turns would fill the API. */
const everyMs = 600_000;
/** More nodes than one cloud has: the map must not grow without end. */
const mostRemembered = 10_000;

/** One of two edgecores with one name. */
export interface RunningEdgecore {
  readonly address: string;
  readonly database: string | undefined;
  readonly serial: string;
}

/** Reports two edgecores that run under one name: in the log, and in an Event of the Node every ten minutes. */
export class Duplicates {
  readonly #kube: Pick<KubeClient, "create" | "find">;
  readonly #clock: Clock;
  readonly #seldom: RateLimitedLog;
  readonly #reported = new Map<string, number>();

  constructor(kube: Pick<KubeClient, "create" | "find">, clock: Clock, log: Logger) {
    this.#kube = kube;
    this.#clock = clock;
    this.#seldom = new RateLimitedLog(log, clock);
  }

  async report(node: string, older: RunningEdgecore, newer: RunningEdgecore): Promise<void> {
    const fields = { node, older: describe(older), newer: describe(newer), serial: newer.serial };
    this.#seldom.warn("duplicate node: two edgecores use one certificate", fields, node);
    if (!this.#isDue(node)) return;
    const same =
      older.serial === newer.serial ? `both show certificate ${newer.serial}` : "both have a certificate";
    const message = `another edgecore connected as "${node}": ${describe(newer)} took the place of ${describe(older)}, which was still running; ${same}. Stop one of them; when it is not yours: cloudcore node ban ${node}`;
    try {
      await this.#record(node, message);
    } catch (error) {
      this.#seldom.warn(
        "cannot record an Event",
        { node, reason: "DuplicateNode", error: describeError(error) },
        node,
      );
    }
  }

  #isDue(node: string): boolean {
    const nowMs = this.#clock.monotonicMs();
    const before = this.#reported.get(node);
    if (before !== undefined && nowMs - before < everyMs) return false;
    this.#reported.delete(node);
    this.#reported.set(node, nowMs);
    const [oldest] = this.#reported.keys();
    if (this.#reported.size > mostRemembered && oldest !== undefined) this.#reported.delete(oldest);
    return true;
  }

  async #record(node: string, message: string): Promise<void> {
    const nowMs = this.#clock.nowMs();
    const time = rfc3339(nowMs);
    const event: Event = {
      apiVersion: "v1",
      kind: "Event",
      metadata: {
        name: `${node.slice(0, 200)}.${BigInt(Math.trunc(nowMs * 1e6)).toString(16)}`,
        namespace: "default",
      },
      // As kubelet has it, the uid of a Node in Events is its name.
      involvedObject: { apiVersion: "v1", kind: "Node", name: node, uid: node },
      reason: "DuplicateNode",
      message: message.slice(0, 1024),
      type: "Warning",
      count: 1,
      firstTimestamp: time,
      lastTimestamp: time,
      source: { component: "cloudhub" },
      reportingComponent: "cloudhub",
      reportingInstance: "",
    };
    await this.#kube.create(resources.events, event);
  }
}

function describe({ address, database }: RunningEdgecore): string {
  return database === undefined ? address : `${address} (database ${database})`;
}
