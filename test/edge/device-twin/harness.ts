import { join } from "node:path";
import { Bus } from "#shared/bus";
import { nextTurn, systemClock, type Clock } from "#shared/clock";
import type { Event } from "#shared/kube";
import type { EdgeCatalog, MqttMessage } from "#shared/topics";
import { openStore, type Store } from "#edge/store";
import {
  defaultHistory,
  startDeviceTwin,
  type DeviceTwin,
  type DeviceTwinConfig,
  type DeviceTwinPort,
} from "#edge/device-twin";
import { twinFrom } from "#internal/test/support/edge/over-the-wire.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

export interface Published {
  readonly topic: string;
  readonly payload: Record<string, unknown>;
}

export interface Harness extends AsyncDisposable {
  readonly bus: Bus<EdgeCatalog>;
  readonly store: Store;
  readonly twin: DeviceTwin;
  /** What went to the broker, oldest first. */
  readonly published: MqttMessage[];
  /** Kubernetes Events, oldest first. */
  readonly events: Event[];
  send(topic: string, payload: unknown): Promise<void>;
  /** What was published since the last call, payloads parsed. */
  take(): Published[];
  addDevice(device: object): Promise<void>;
  deliver(resource: string, content: unknown): Promise<void>;
  /** Asks what the cloud asks; @returns the content of the answer, undefined when there is none */
  ask(resource: string, content: unknown): Promise<unknown>;
  /** Contents that wait for the cloud, oldest first. */
  outbox(): { resource: string; operation: string; content: unknown }[];
}

/** DeviceTwin over a real store, with the test in the place of the broker and of the cloud. */
export async function startHarness(
  directory: string,
  config: Partial<DeviceTwinConfig> = {},
  clock: Clock = systemClock,
): Promise<Harness> {
  await using stack = new AsyncDisposableStack();
  const store = stack.use(openStore(join(directory, "edge.db")));
  const bus = new Bus<EdgeCatalog>({
    onFailure: (topic, module, error) => {
      throw new Error(`${topic} ${module}`, { cause: error });
    },
  });
  const published: MqttMessage[] = [];
  const events: Event[] = [];
  const broker = bus.port<
    never,
    "mqtt.received" | "device.changed" | "twin.deliver",
    "mqtt.publish" | "event.recorded"
  >("broker");
  broker.on("mqtt.publish", (message) => void published.push(message));
  broker.on("event.recorded", ({ event }) => void events.push(event));
  const port: DeviceTwinPort = bus.port("devicetwin");
  const twin = stack.use(
    await startDeviceTwin(
      {
        node: "ke-edge",
        history: defaultHistory,
        outboxLimitBytes: 256_000_000,
        query: undefined,
        ...config,
      },
      { port, store, clock, log: silentLog() },
    ),
  );
  const owned = stack.move();
  let taken = 0;
  return {
    bus,
    store,
    twin,
    published,
    events,
    send: async (topic, payload) => {
      const text = typeof payload === "string" ? payload : JSON.stringify(payload);
      await broker.ask("mqtt.received", { topic, payload: Buffer.from(text) });
      await nextTurn();
    },
    take: () => {
      const fresh = published.slice(taken);
      taken = published.length;
      return fresh.map(({ topic, payload }) => ({
        topic,
        payload: JSON.parse(Buffer.from(payload).toString()) as Record<string, unknown>,
      }));
    },
    addDevice: async (object) => {
      const { metadata } = object as { metadata: { name: string; namespace: string } };
      const { name, namespace } = metadata;
      const kind = "deviceModelRef" in (object as { spec: object }).spec ? "device" : "devicemodel";
      store.metas.put({ key: `${namespace}/${kind}/${name}`, type: kind, value: JSON.stringify(object) });
      await broker.ask("device.changed", { type: kind, namespace, name, object: object as never });
      await nextTurn();
    },
    deliver: async (resource, content) => {
      await broker.ask("twin.deliver", twinFrom({ operation: "update", resource, content }));
      await nextTurn();
    },
    ask: async (resource, content) => {
      const question = twinFrom({ operation: "query", resource, content });
      return (await broker.ask("twin.deliver", question)).answer;
    },
    outbox: () =>
      store.outbox.listAfter(0, 100_000).map(({ message }) => {
        const { route, content } = JSON.parse(message) as {
          route: { resource: string; operation: string };
          content: unknown;
        };
        return { resource: route.resource, operation: route.operation, content };
      }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export const thermoModel = {
  apiVersion: "devices.kubeedge.io/v1beta1",
  kind: "DeviceModel",
  metadata: { name: "thermo-model", namespace: "default", uid: "m", resourceVersion: "569" },
  spec: {
    protocol: "mqtt",
    properties: [
      { name: "temperature", type: "FLOAT", accessMode: "ReadOnly" },
      { name: "target", type: "FLOAT", accessMode: "ReadWrite", minimum: "5", maximum: "35" },
    ],
  },
};

export function thermo(desired: Record<string, string> = {}, version = "570"): object {
  return {
    apiVersion: "devices.kubeedge.io/v1beta1",
    kind: "Device",
    metadata: { name: "thermo-1", namespace: "default", uid: "d", resourceVersion: version },
    spec: {
      deviceModelRef: { name: "thermo-model" },
      nodeName: "ke-edge",
      properties: Object.entries(desired).map(([name, value]) => ({ name, desired: { value } })),
      protocol: { protocolName: "mqtt", configData: { topic: "thermo" } },
    },
  };
}
