import { join } from "node:path";
import { Bus } from "#shared/bus";
import { systemClock } from "#shared/clock";
import type { ExternalBrokerConfig } from "#shared/config";
import type { EdgeCatalog } from "#shared/topics";
import { startMetaManager } from "#edge/meta-manager";
import { startEventBus, type EventBus } from "#edge/mqtt/event-bus";
import { openStore, type Store } from "#edge/store";
import { defaultHistory, startDeviceTwin, type DeviceTwin } from "#edge/device-twin";
import { openBroker } from "#internal/test/edge/mqtt/event-bus/harness.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

export interface Node extends AsyncDisposable {
  readonly bus: Bus<EdgeCatalog>;
  readonly eventBus: EventBus;
  readonly twin: DeviceTwin;
  readonly store: Store;
  readonly log: ReturnType<typeof silentLog>;
}

export interface NodeOptions {
  readonly external?: ExternalBrokerConfig;
  readonly outboxLimitBytes?: number;
}

/** Twins, event bus and metamanager as edgecore has them. */
export async function startNode(directory: string, options: NodeOptions = {}): Promise<Node> {
  const { external, outboxLimitBytes = 1e8 } = options;
  await using stack = new AsyncDisposableStack();
  const store = stack.use(openStore(join(directory, "edge.db")));
  const bus = new Bus<EdgeCatalog>({ onFailure: () => undefined });
  const log = silentLog();
  const parts = { store, clock: systemClock, log };
  const twins = { node: "n", history: defaultHistory, outboxLimitBytes, query: undefined };
  const mqtt = { node: "n", version: "0", qos: 0, retain: false, broker: openBroker, external } as const;
  stack.use(await startMetaManager({ ...parts, node: "n", port: bus.port("metamanager") }));
  const twin = stack.use(await startDeviceTwin(twins, { ...parts, port: bus.port("devicetwin") }));
  const eventBus = stack.use(await startEventBus(mqtt, { ...parts, port: bus.port("eventbus") }));
  const owned = stack.move();
  return { bus, eventBus, twin, store, log, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
