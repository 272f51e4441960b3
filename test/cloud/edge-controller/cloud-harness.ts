import {
  startEdgeController,
  type EdgeControllerParts,
  type EdgeControllerPort,
} from "#cloud/edge-controller";
import { resources } from "#cloud/kube-client";
import { Bus } from "#shared/bus";
import type { Pod } from "#shared/kube";
import type { CloudCatalog, DeliveredObject, NodeAnswer, NodeRequest } from "#shared/topics";
import type { WireMessage } from "#shared/wire";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeKubeClient } from "#internal/test/support/fake/fake-kube-client.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { startWireHub } from "#internal/test/support/cloud/wire-hub.ts";

export interface Cloud extends AsyncDisposable {
  readonly kube: FakeKubeClient;
  readonly clock: FakeClock;
  readonly sent: WireMessage[];
  readonly closed: string[];
  readonly delivered: DeliveredObject[];
  /** `operation resource` of what node e1 was sent since the last call. */
  texts(): string[];
  settle(): Promise<void>;
  /** Asks as node e1 and returns the content of the answer. */
  ask(operation: string, resource: string, content?: unknown): Promise<unknown>;
  /** Asks over the bus, past the checks of the hub. */
  request(request: NodeRequest): Promise<NodeAnswer>;
  /** Passes on a message of a node and returns the answer. */
  pass(node: string, message: WireMessage): Promise<WireMessage | undefined>;
  connect(): Promise<void>;
  /** Plays the hub: node e1 has acknowledged the object. */
  acknowledge(object: DeliveredObject): Promise<void>;
  /** Plays the device controller. */
  devices(answers: DeviceAnswers): void;
}

export interface DeviceAnswers {
  concerns(about: CloudCatalog["device.concerns"]["body"]): Promise<boolean>;
  desire(request: CloudCatalog["device.desire"]["body"]): Promise<CloudCatalog["device.desire"]["reply"]>;
}

/** The edge controller over a Kubernetes API in memory, with node e1 an edge node and c1 none. */
export async function startCloud(
  prepare: (kube: FakeKubeClient) => void = () => undefined,
  options: Pick<EdgeControllerParts, "kubelet"> = {},
): Promise<Cloud> {
  const clock = new FakeClock();
  const kube = new FakeKubeClient({ clock });
  kube.put(resources.nodes, { metadata: { name: "e1", labels: { "node-role.kubernetes.io/edge": "" } } });
  kube.put(resources.nodes, { metadata: { name: "c1" } });
  prepare(kube);
  const bus = new Bus<CloudCatalog>({
    onFailure: (topic, module, error) => {
      throw new Error(`${topic} ${module}`, { cause: error });
    },
  });
  const hub = bus.port<
    "node.connected" | "object.acked",
    "node.request",
    "node.close",
    "object.delivered" | "device.concerns" | "device.desire"
  >("hub");
  const sent: WireMessage[] = [];
  const closed: string[] = [];
  const delivered: DeliveredObject[] = [];
  hub.on("node.close", ({ node }) => void closed.push(node));
  const wire = startWireHub(bus.port("cloudhub"), clock, (_node, message) => void sent.push(message));
  hub.answer("object.delivered", async () => delivered);
  const port: EdgeControllerPort = bus.port("edgecontroller");
  const controller = await clock.until(
    startEdgeController({ port, kube, clock, log: silentLog(), devices: true, ...options }),
  );
  let read = 0;
  let asked = 0;
  return {
    kube,
    clock,
    sent,
    closed,
    delivered,
    texts: () => {
      const fresh = sent.slice(read);
      read = sent.length;
      return fresh.map(({ route }) => `${route.operation} ${route.resource}`);
    },
    settle: () => clock.advance(1),
    ask: async (operation, resource, content = null) => {
      asked += 1;
      const id = `m${asked}`;
      const route = { source: "edged", group: "meta", operation, resource };
      const message: WireMessage = { header: { msg_id: id, timestamp: 1 }, route, content };
      void wire.receive("e1", message);
      await clock.advance(1);
      return sent.find(({ header }) => header.parent_msg_id === id)?.content;
    },
    request: (request) => clock.until(hub.ask("node.request", request)),
    pass: async (node, message) => {
      void wire.receive(node, message);
      await clock.advance(1);
      return sent.find(({ header }) => header.parent_msg_id === message.header.msg_id);
    },
    connect: async () => {
      await hub.emit("node.connected", { node: "e1" });
      await clock.advance(1);
    },
    acknowledge: async (object) => {
      await hub.emit("object.acked", { ...object, node: "e1", deleted: false });
      await clock.advance(1);
    },
    devices: ({ concerns, desire }) => {
      hub.answer("device.concerns", concerns);
      hub.answer("device.desire", desire);
    },
    [Symbol.asyncDispose]: async () => {
      await clock.until(Promise.resolve(controller[Symbol.asyncDispose]()));
      bus[Symbol.dispose]();
    },
  };
}

/** A pod on a node that reads ConfigMap "page" and Secret "key". */
export function pod(name: string, node: string, uid = `uid-${name}`): Pod {
  return {
    metadata: { name, namespace: "default", uid },
    spec: {
      nodeName: node,
      serviceAccountName: "runner",
      containers: [{ name: "main", envFrom: [{ configMapRef: { name: "page" } }] }],
      volumes: [{ name: "v", projected: { sources: [{ secret: { name: "key" } }] } }],
    },
  };
}

export function putConfig(kube: FakeKubeClient): void {
  kube.put(resources.configMaps, { metadata: { name: "page", namespace: "default" }, data: { a: "1" } });
  kube.put(resources.secrets, { metadata: { name: "key", namespace: "default" }, data: { b: "Mg==" } });
}
