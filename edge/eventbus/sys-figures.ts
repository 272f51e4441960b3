import type { Aedes } from "aedes";
import type { Clock } from "#shared/clock";

export interface SessionCounts {
  readonly sessions: number;
  readonly subscriptions: number;
  readonly retained: number;
}

const everyMs = 10_000;

/** Publishes the figures mosquitto's users look for below `$SYS/broker`, retained, each ten seconds. */
export function startFigures(broker: Aedes, counts: () => SessionCounts, clock: Clock): Disposable {
  const startMs = clock.monotonicMs();
  let received = 0;
  let bytes = 0;
  broker.on("publish", (packet, client) => {
    if (!client) return;
    received += 1;
    bytes += packet.payload.length;
  });
  const publish = (): void => {
    const { sessions, subscriptions, retained } = counts();
    const figures: Record<string, number> = {
      uptime: Math.round((clock.monotonicMs() - startMs) / 1000),
      "clients/connected": broker.connectedClients,
      "clients/persistent": sessions,
      "subscriptions/persistent": subscriptions,
      "retained messages/count": retained,
      "publish/messages/received": received,
      "publish/bytes/received": bytes,
    };
    for (const [name, value] of Object.entries(figures))
      broker.publish(
        {
          cmd: "publish",
          topic: `$SYS/broker/${name}`,
          payload: String(value),
          qos: 0,
          retain: true,
          dup: false,
        },
        () => undefined,
      );
  };
  publish();
  return clock.every(everyMs, publish);
}
