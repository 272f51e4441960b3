import { Bus } from "#shared/bus";
import { systemClock } from "#shared/clock";
import { createLogger } from "#shared/log";
import type { EdgeCatalog } from "#shared/topics";
import { startEventBus } from "#edge/mqtt/event-bus";
import { openStore } from "#edge/store";
import { defaultHistory, startDeviceTwin } from "#edge/device-twin";

/** A node with broker and twins alone, as a process of its own: prints its port, then answers SIGTERM. */
const [database = "", devices = "0", flushMs = "0"] = process.argv.slice(2);
const started = performance.now();
const store = openStore(database);
const log = createLogger({
  level: "error",
  clock: systemClock,
  readable: false,
  write: (line) => process.stderr.write(line),
});
const bus = new Bus<EdgeCatalog>({
  onFailure: (topic, module, error) => console.error(topic, module, error),
});
await using _twin = await startDeviceTwin(
  {
    node: "test",
    history: defaultHistory,
    outboxLimitBytes: 256_000_000,
    query: undefined,
    flushMs: Number(flushMs),
  },
  { port: bus.port("devicetwin"), store, clock: systemClock, log },
);
bus.port<never, never, never, "rule.list">("rules").answer("rule.list", async () => []);
await using eventBus = await startEventBus(
  {
    node: "test",
    version: "0.0.0",
    qos: 0,
    retain: false,
    external: undefined,
    broker: {
      url: "tcp://127.0.0.1:0",
      websocketUrl: undefined,
      websocketOrigins: [],
      certFile: undefined,
      keyFile: undefined,
      caFile: undefined,
      anonymous: true,
      users: [],
      acl: [],
      maxConnections: 10_000,
      maxPacketBytes: 1024 * 1024,
      slowClientsBytes: 64 * 1024 * 1024,
      sessionQueueSize: 100,
      receiveMaximum: 1000,
      topicAliasMaximum: 10,
      sessionExpiryMaximum: undefined,
      keepaliveMaximum: undefined,
    },
  },
  { port: bus.port("eventbus"), store, clock: systemClock, log },
);
const startMs = performance.now() - started;
const added = Array.from({ length: Number(devices) }, (_, n) => ({ id: `d${n}`, name: `d${n}` }));
if (added.length > 0)
  await bus.port<never, "twin.deliver">("test").ask("twin.deliver", {
    kind: "membership",
    body: { added_devices: added, removed_devices: null },
  });
console.log(JSON.stringify({ port: eventBus.mqttPort, startMs }));
await new Promise((resolve) => process.once("SIGTERM", resolve));
