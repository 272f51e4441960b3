import type { Clock } from "#shared/clock";
import type { SessionCounts } from "#edge/mqtt/sessions";
import type { OutboundBacklog } from "#edge/mqtt/flow";
import type { Traffic } from "#edge/mqtt/routing";

export interface FigureParts {
  readonly counts: () => SessionCounts & {
    /** open connections */
    readonly clients: number;
    /** subscriptions of open connections */
    readonly live: number;
    readonly slow: Pick<OutboundBacklog, "slow" | "bytes" | "cut">;
  };
  readonly traffic: Traffic;
  readonly version: string;
  readonly clock: Clock;
  readonly publish: (topic: string, payload: string) => void;
}

/** As mosquitto's default `sys_interval`. */
const everyMs = 10_000;

/** Publishes figures with the names mosquitto gives them below `$SYS/broker`, retained, every ten seconds. */
export function startFigures({ counts, traffic, version, clock, publish }: FigureParts): Disposable {
  const startMs = clock.monotonicMs();
  let mostClients = 0;
  const publishAll = (): void => {
    const { clients, live, slow, sessions, subscriptions, retained, queued } = counts();
    mostClients = Math.max(mostClients, clients);
    const figures: Record<string, string | number> = {
      version: `edgecore ${version}`,
      uptime: `${Math.round((clock.monotonicMs() - startMs) / 1000)} seconds`,
      "clients/connected": clients,
      "clients/maximum": mostClients,
      "clients/persistent": sessions,
      "clients/slow": slow.slow,
      "clients/slow/bytes": slow.bytes,
      "clients/slow/disconnected": slow.cut,
      "subscriptions/count": live,
      "subscriptions/persistent": subscriptions,
      "retained messages/count": retained,
      "store/messages/count": queued,
      "publish/messages/received": traffic.received,
      "publish/messages/sent": traffic.sent,
      "publish/messages/dropped": traffic.dropped,
      "publish/bytes/received": traffic.receivedBytes,
      "publish/bytes/sent": traffic.sentBytes,
    };
    for (const [name, value] of Object.entries(figures)) publish(`$SYS/broker/${name}`, String(value));
  };
  publishAll();
  return clock.every(everyMs, publishAll);
}
