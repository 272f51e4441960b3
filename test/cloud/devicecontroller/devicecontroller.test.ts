import { expect, test } from "bun:test";
import { Bus } from "#shared/bus";
import { defaultDeviceController, startDeviceController } from "#cloud/devicecontroller";
import { KubeError, resources } from "#cloud/kubeclient";
import type { Device, TwinValue } from "#shared/kube";
import type { CloudCatalog, DeliveredObject, DevicePlace, NodeMessage, WireMessage } from "#shared/message";
import { FakeClock } from "#internal/test/support/fake-clock.ts";
import { FakeKubeClient } from "#internal/test/support/fake-kube-client.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

const device = (name: string, node: string, target = "21"): Device => ({
  apiVersion: "devices.kubeedge.io/v1beta1",
  kind: "Device",
  metadata: { name, namespace: "default", labels: { description: "hall" } },
  spec: {
    deviceModelRef: { name: "thermo-model" },
    nodeName: node,
    properties: [{ name: "target", desired: { value: target } }],
  },
});

const model = {
  apiVersion: "devices.kubeedge.io/v1beta1",
  kind: "DeviceModel",
  metadata: { name: "thermo-model", namespace: "default" },
  spec: { properties: [{ name: "temperature", type: "FLOAT" }] },
};

interface Cloud extends AsyncDisposable {
  readonly kube: FakeKubeClient;
  readonly clock: FakeClock;
  /** `operation resource` by node, in order, and the messages themselves. */
  readonly sent: { node: string; text: string; message: WireMessage }[];
  /** What was said before something was sent, in order. */
  readonly recorded: DeliveredObject[];
  readonly delivered: DeliveredObject[];
  texts(): string[];
  find(name: string): Promise<DevicePlace | undefined>;
  say(resource: string, content: unknown, id?: string): Promise<void>;
  connect(node: string): Promise<void>;
}

async function startCloud(prepare: (kube: FakeKubeClient) => void = () => undefined): Promise<Cloud> {
  const clock = new FakeClock();
  const kube = new FakeKubeClient({ clock });
  prepare(kube);
  const bus = new Bus<CloudCatalog>({
    onHearerError: (topic, module, error) => {
      throw new Error(`${topic} ${module}`, { cause: error });
    },
  });
  const sent: Cloud["sent"] = [];
  const delivered: DeliveredObject[] = [];
  const hub = bus.port<
    "twin.message" | "node.connected",
    "device.find",
    never,
    "node.send" | "object.sending" | "object.delivered"
  >("hub");
  hub.answer("node.send", async ({ node, message }: NodeMessage) => {
    sent.push({ node, text: `${node} ${message.route.operation} ${message.route.resource}`, message });
    return undefined;
  });
  const recorded: DeliveredObject[] = [];
  hub.answer("object.sending", async ({ object }) => {
    recorded.push(object);
    return "0";
  });
  hub.answer("object.delivered", async () => delivered);
  const port = bus.port<
    never,
    "node.send" | "object.sending" | "object.delivered",
    "twin.message" | "node.connected" | "node.resync",
    "device.find"
  >("devicecontroller");
  const controller = await clock.until(
    startDeviceController(defaultDeviceController, { port, kube, clock, log: silentLog() }),
  );
  return {
    kube,
    clock,
    sent,
    recorded,
    delivered,
    texts: () => sent.map(({ text }) => text),
    find: (name) => hub.ask("device.find", { namespace: "default", name }),
    say: async (resource, content, id = "m1") => {
      const route = { source: "twin", group: "resource", operation: "update", resource };
      await hub.emit("twin.message", {
        node: "edge-1",
        message: { header: { msg_id: id, timestamp: 1 }, route, content },
      });
      await clock.advance(1);
    },
    connect: async (node) => {
      await hub.emit("node.connected", { node });
      await clock.advance(1);
    },
    [Symbol.asyncDispose]: async () => {
      await clock.until(Promise.resolve(controller[Symbol.asyncDispose]()));
    },
  };
}

test("device controller sends membership, model and device when a device is bound", async () => {
  await using cloud = await startCloud();
  cloud.kube.put(resources.deviceModels, model);
  await cloud.clock.advance(1);
  cloud.kube.put(resources.devices, device("thermo-1", "edge-1"));
  cloud.kube.put(resources.devices, device("thermo-2", "edge-1"));
  await cloud.clock.advance(1);

  expect(cloud.texts()).toEqual([
    "edge-1 update membership",
    "edge-1 insert default/devicemodel/thermo-model",
    "edge-1 insert default/device/thermo-1",
    "edge-1 update membership",
    "edge-1 insert default/device/thermo-2",
  ]);
  expect(cloud.sent[0]?.message.content).toEqual({
    event_id: expect.any(String),
    timestamp: expect.any(Number),
    added_devices: [
      {
        id: "thermo-1",
        name: "thermo-1",
        description: "hall",
        namespace: "default",
        uid: cloud.kube.peek(resources.devices, "default/thermo-1")?.metadata.uid,
      },
    ],
    removed_devices: null,
  });
});

test("device controller takes a device from its node and gives it to the next when it is moved", async () => {
  await using cloud = await startCloud((kube) => {
    kube.put(resources.deviceModels, model);
    kube.put(resources.devices, device("thermo-1", "edge-1"));
  });
  await cloud.clock.advance(1);
  cloud.kube.put(resources.devices, device("thermo-1", "edge-2"));
  await cloud.clock.advance(1);

  expect(cloud.texts().toSorted()).toEqual([
    "edge-1 delete default/device/thermo-1",
    "edge-1 delete default/devicemodel/thermo-model",
    "edge-1 update membership",
    "edge-2 insert default/device/thermo-1",
    "edge-2 insert default/devicemodel/thermo-model",
    "edge-2 update membership",
  ]);
});

test("device controller sends nothing when only the status of a device changed", async () => {
  await using cloud = await startCloud(
    (kube) => void kube.put(resources.devices, device("thermo-1", "edge-1")),
  );
  await cloud.clock.advance(1);
  await cloud.say("device/thermo-1/twin/edge_updated", { twin: { target: { actual: { value: "20" } } } });

  expect(cloud.texts()).toEqual(["edge-1 response twin"]);
});

test("device controller repairs what a node missed when it connects", async () => {
  await using cloud = await startCloud((kube) => {
    kube.put(resources.deviceModels, model);
    kube.put(resources.devices, device("thermo-1", "edge-1"));
  });
  const gone = { apiVersion: "devices.kubeedge.io/v1beta1", namespace: "default", uid: "old" };
  cloud.delivered.push({ ...gone, kind: "Device", name: "thermo-9", resourceVersion: "5" });
  await cloud.connect("edge-1");

  expect(cloud.texts()).toEqual([
    "edge-1 update membership",
    "edge-1 delete default/device/thermo-9",
    "edge-1 update membership",
    "edge-1 insert default/devicemodel/thermo-model",
    "edge-1 insert default/device/thermo-1",
  ]);
});

test("device controller writes reported values of known properties and answers after the write", async () => {
  await using cloud = await startCloud((kube) => {
    kube.put(resources.deviceModels, model);
    kube.put(resources.devices, device("thermo-1", "edge-1"));
  });
  await cloud.clock.advance(1);
  const side = (value: string): object => ({ value, metadata: { timestamp: 7 } });
  await cloud.say(
    "node/edge-1/device/thermo-1/twin/edge_updated",
    {
      event_id: "x",
      timestamp: 7,
      twin: {
        temperature: { actual: side("22.5"), metadata: { type: "string" } },
        target: { actual: side("20"), expected: side("21"), metadata: { type: "string" } },
        nosuch: { actual: side("1"), metadata: { type: "string" } },
      },
    },
    "m7",
  );

  const value = (text: string): TwinValue => ({ value: text, metadata: { timestamp: "7", type: "string" } });
  expect(cloud.kube.peek<Device>(resources.devices, "default/thermo-1")?.status).toEqual({
    twins: [
      { propertyName: "temperature", reported: value("22.5") },
      { propertyName: "target", reported: value("20"), observedDesired: value("21") },
    ],
    reportedTime: "2026-01-01T00:00:00Z",
  });
  const answer = cloud.sent.at(-1)?.message;
  expect(answer?.header.parent_msg_id).toBe("m7");
  expect(answer?.route).toEqual({
    source: "devicecontroller",
    group: "twin",
    operation: "response",
    resource: "twin",
  });
  expect(answer?.content).toBe("OK");
});

test("device controller writes a chatty device twice a second at most and the last value arrives", async () => {
  await using cloud = await startCloud(
    (kube) => void kube.put(resources.devices, device("thermo-1", "edge-1")),
  );
  await cloud.clock.advance(1);
  for (let n = 0; n < 100; n += 1) {
    await cloud.say(
      "device/thermo-1/twin/edge_updated",
      { twin: { target: { actual: { value: `${n}` } } } },
      `m${n}`,
    );
    await cloud.clock.advance(9);
  }
  await cloud.clock.advance(1000);

  const writes = cloud.kube.calls.filter(({ verb }) => verb === "patch");
  expect(writes.length).toBeLessThanOrEqual(4);
  expect(
    cloud.kube.peek<Device>(resources.devices, "default/thermo-1")?.status?.twins?.[0]?.reported?.value,
  ).toBe("99");
  expect(cloud.sent.map(({ message }) => message.header.parent_msg_id ?? "")).toEqual(
    Array.from({ length: 100 }, (_, n) => `m${n}`),
  );
});

test("device controller tries a failed write again", async () => {
  await using cloud = await startCloud(
    (kube) => void kube.put(resources.devices, device("thermo-1", "edge-1")),
  );
  await cloud.clock.advance(1);
  cloud.kube.fail(({ verb }) => verb === "patch", new Error("away"), 3);
  await cloud.say(
    "device/thermo-1/state/update",
    JSON.stringify({ timestamp: 0, device: { state: "online" } }),
  );
  expect(cloud.sent).toEqual([]);
  await cloud.clock.advance(5000);

  expect(cloud.kube.peek<Device>(resources.devices, "default/thermo-1")?.status).toMatchObject({
    state: "online",
    lastOnlineTime: "1970-01-01T00:00:00Z",
  });
  expect(cloud.texts()).toEqual(["edge-1 response twin"]);
});

test("device controller writes the last of what is reported while the API is away, whatever went before", async () => {
  await using cloud = await startCloud(
    (kube) => void kube.put(resources.devices, device("thermo-1", "edge-1")),
  );
  await cloud.clock.advance(1);
  cloud.kube.fail(({ verb }) => verb === "patch", new Error("away"), 12);
  const reported = (value: number): object => ({ twin: { target: { actual: { value: `${value}` } } } });
  for (let n = 0; n < 8; n += 1) {
    await cloud.say("device/thermo-1/twin/edge_updated", reported(n), `m${n}`);
    await cloud.clock.advance(700);
  }
  await cloud.clock.advance(120_000);

  const tried = cloud.kube.calls
    .filter(({ verb }) => verb === "patch")
    .map(({ body }) => Number((body as Device).status?.twins?.[0]?.reported?.value));
  expect(tried).toEqual(tried.toSorted((a, b) => a - b));
  expect([tried.length, tried.at(-1)]).toEqual([13, 7]);
  expect(cloud.sent.map(({ message }) => message.header.parent_msg_id ?? "")).toEqual(
    Array.from({ length: 8 }, (_, n) => `m${n}`),
  );
});

test("device controller answers a report the API will never take, and goes on with the next", async () => {
  await using cloud = await startCloud(
    (kube) => void kube.put(resources.devices, device("thermo-1", "edge-1")),
  );
  await cloud.clock.advance(1);
  cloud.kube.fail(
    ({ verb, body }) => verb === "patch" && JSON.stringify(body).includes('"value":"1"'),
    new KubeError(422, "Invalid", "status.twins: Too many", { status: "Failure" }),
    1000,
  );
  for (const [id, value] of ["1", "2"].entries()) {
    const twin = { target: { actual: { value } } };
    await cloud.say("device/thermo-1/twin/edge_updated", { twin }, `m${id}`);
    await cloud.clock.advance(1000);
  }
  expect(cloud.texts()).toEqual(["edge-1 response twin", "edge-1 response twin"]);
  const stored = cloud.kube.peek<Device>(resources.devices, "default/thermo-1");
  expect(stored?.status?.twins?.[0]?.reported?.value).toBe("2");
});

test("device controller answers a report of an unknown device, so that it is not sent forever", async () => {
  await using cloud = await startCloud();
  await cloud.say("device/nobody/twin/edge_updated", { twin: { a: { actual: { value: "1" } } } });
  expect(cloud.texts()).toEqual(["edge-1 response twin"]);
});

test("device controller leaves a device alone that was made anew when a report of the old one comes", async () => {
  await using cloud = await startCloud(
    (kube) => void kube.put(resources.devices, device("thermo-1", "edge-1")),
  );
  await cloud.clock.advance(1);
  const stored = (): Device | undefined => cloud.kube.peek<Device>(resources.devices, "default/thermo-1");
  const twin = { target: { actual: { value: "1" } } };
  await cloud.say("device/thermo-1/twin/edge_updated", { device_uid: "of-the-old-one", twin });
  expect(cloud.texts()).toEqual(["edge-1 response twin"]);
  expect(stored()?.status).toBeUndefined();
  await cloud.say("device/thermo-1/twin/edge_updated", { device_uid: stored()?.metadata.uid, twin });
  expect(stored()?.status?.twins?.[0]?.reported?.value).toBe("1");
});

test("device controller gives a device again to a node that never heard that it was away", async () => {
  await using cloud = await startCloud(
    (kube) => void kube.put(resources.devices, device("thermo-1", "edge-1")),
  );
  await cloud.clock.advance(1);
  for (const node of ["edge-2", "edge-1"]) {
    cloud.kube.put(resources.devices, device("thermo-1", node));
    await cloud.clock.advance(1);
  }
  const [away, , back] = cloud.recorded;
  expect([away?.digest, back?.digest]).toEqual(["", ""]);
  expect(cloud.recorded.filter(({ digest }) => digest !== "")).toHaveLength(2);

  cloud.delivered.push({ ...(away as DeliveredObject), digest: "" });
  cloud.sent.length = 0;
  await cloud.connect("edge-1");
  expect(cloud.texts()).toEqual(["edge-1 update membership", "edge-1 update default/device/thermo-1"]);
});

test("device controller takes a report for the device it names by uid, whatever the node calls it", async () => {
  const inLab = { ...device("thermo-1", "edge-1"), metadata: { name: "thermo-1", namespace: "lab" } };
  await using cloud = await startCloud((kube) => {
    kube.put(resources.devices, inLab);
    kube.put(resources.devices, device("thermo-1", "edge-1"));
  });
  await cloud.clock.advance(1);
  for (const [id, key] of [
    ["thermo-1", "default/thermo-1"],
    ["lab/thermo-1", "lab/thermo-1"],
    ["default/thermo-1", "lab/thermo-1"],
    ["thermo-1", "lab/thermo-1"],
  ] as const) {
    const uid = cloud.kube.peek<Device>(resources.devices, key)?.metadata.uid;
    const value = `${id} of ${key}`;
    const twin = { target: { actual: { value } } };
    await cloud.say(`device/${id}/twin/edge_updated`, { device_uid: uid, twin });
    const state = { timestamp: 0, device: { state: `state ${value}` }, device_uid: uid };
    await cloud.say(`device/${id}/state/update`, JSON.stringify(state));
    await cloud.clock.advance(2000);
    const { status } = cloud.kube.peek<Device>(resources.devices, key) ?? {};
    expect([status?.twins?.[0]?.reported?.value, status?.state]).toEqual([value, `state ${value}`]);
  }
});

test("device controller leaves the state of a device that was deleted to nobody", async () => {
  await using cloud = await startCloud(
    (kube) => void kube.put(resources.devices, device("thermo-1", "edge-1")),
  );
  await cloud.clock.advance(1);
  const state = { timestamp: 0, device: { state: "online" }, device_uid: "of-the-old-one" };
  await cloud.say("device/thermo-1/state/update", JSON.stringify(state));
  expect(cloud.texts()).toEqual(["edge-1 response twin"]);
  expect(cloud.kube.peek<Device>(resources.devices, "default/thermo-1")?.status).toBeUndefined();
});

const atStart = Date.parse("2026-01-01T00:00:00Z");

test.each([
  ["when it was made", atStart + 60_000, "2026-01-01T00:01:00Z"],
  ["now, when the clock of the node is ahead", atStart + 9e9, "2026-01-01T01:00:00Z"],
  ["now, when the clock of the node knows no day", 5000, "2026-01-01T01:00:00Z"],
  ["now, when the node does not say", undefined, "2026-01-01T01:00:00Z"],
])("a report that comes late is shown as made %s", async (_, timestamp, shown) => {
  await using cloud = await startCloud(
    (kube) => void kube.put(resources.devices, device("thermo-1", "edge-1")),
  );
  await cloud.clock.advance(3_600_000);
  const twin = { target: { actual: { value: "20" } } };
  await cloud.say("device/thermo-1/twin/edge_updated", { timestamp, twin });
  const stored = cloud.kube.peek<Device>(resources.devices, "default/thermo-1");
  expect(stored?.status?.reportedTime).toBe(shown);
});

test("device controller tells a node its members when it asks", async () => {
  await using cloud = await startCloud(
    (kube) => void kube.put(resources.devices, device("thermo-1", "edge-1")),
  );
  await cloud.clock.advance(1);
  await cloud.say("membership/detail", "{}");
  expect(cloud.sent.at(-1)?.message.content).toMatchObject({
    devices: [{ id: "thermo-1", name: "thermo-1", description: "hall" }],
  });
});

test("device controller tells where a device is", async () => {
  await using cloud = await startCloud((kube) => {
    kube.put(resources.devices, device("thermo-1", "edge-1"));
    kube.put(resources.devices, device("loose", ""));
  });
  await cloud.clock.advance(1);
  expect(await Promise.all(["thermo-1", "loose", "none"].map((name) => cloud.find(name)))).toEqual([
    { node: "edge-1" },
    { node: undefined },
    undefined,
  ]);
});
