import { expect, test } from "bun:test";
import { KubeError, resources } from "#cloud/kube-client";
import type { Device, TwinValue } from "#shared/kube";
import { device, model, startCloud, type Cloud } from "./harness.ts";

const atStart = Date.parse("2026-01-01T00:00:00Z");

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

test("device controller writes the last of the values reported while the API is unavailable", async () => {
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

test("device controller ignores a report for a deleted Device of the same name", async () => {
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

test("device controller ignores the state of a deleted Device of the same name", async () => {
  await using cloud = await startCloud(
    (kube) => void kube.put(resources.devices, device("thermo-1", "edge-1")),
  );
  await cloud.clock.advance(1);
  const state = { timestamp: 0, device: { state: "online" }, device_uid: "of-the-old-one" };
  await cloud.say("device/thermo-1/state/update", JSON.stringify(state));
  expect(cloud.texts()).toEqual(["edge-1 response twin"]);
  expect(cloud.kube.peek<Device>(resources.devices, "default/thermo-1")?.status).toBeUndefined();
});

const twinsOf = (cloud: Cloud): unknown =>
  cloud.kube
    .peek<Device>(resources.devices, "default/thermo-1")
    ?.status?.twins?.map((twin) => [
      twin.propertyName,
      twin.reported?.value ?? null,
      twin.observedDesired?.value ?? null,
    ]);

test("device controller keeps a side of a twin that a node of KubeEdge does not report, and drops one that our node does not", async () => {
  await using cloud = await startCloud(
    (kube) => void kube.put(resources.devices, device("thermo-1", "edge-1")),
  );
  await cloud.clock.advance(1);
  const device_uid = cloud.kube.peek<Device>(resources.devices, "default/thermo-1")?.metadata.uid;
  const say = async (twin: object, uid?: string): Promise<unknown> => {
    const body = { twin, ...(uid === undefined ? {} : { device_uid: uid }) };
    await cloud.say("device/thermo-1/twin/edge_updated", body);
    await cloud.clock.advance(1000);
    return twinsOf(cloud);
  };
  const both = { target: { actual: { value: "20" }, expected: { value: "21" } } };
  expect(await say(both)).toEqual([["target", "20", "21"]]);
  expect(await say({ target: { actual: { value: "22" } } })).toEqual([["target", "22", "21"]]);
  expect(await say({ target: { actual: { value: "23" } } }, device_uid)).toEqual([["target", "23", null]]);
  // A node that is new to the device has no value of its own yet.
  expect(await say({ target: { expected: { value: "21" } } }, device_uid)).toEqual([["target", "23", "21"]]);
  const withdrawn = { target: { metadata: { type: "string" } } };
  expect(await say(withdrawn, device_uid)).toEqual([["target", "23", null]]);
  expect(await say({ target: { metadata: { type: "deleted" } } }, device_uid)).toEqual([]);
});

test("device controller takes twins out of the status with the properties of the model", async () => {
  await using cloud = await startCloud((kube) => {
    kube.put(resources.deviceModels, model);
    kube.put(resources.devices, device("thermo-1", "edge-1"));
  });
  await cloud.clock.advance(1);
  const twin = { temperature: { actual: { value: "20" } }, target: { actual: { value: "21" } } };
  await cloud.say("device/thermo-1/twin/edge_updated", { twin, timestamp: atStart });
  await cloud.clock.advance(1000);
  const both = [
    ["temperature", "20", null],
    ["target", "21", null],
  ];
  expect(twinsOf(cloud)).toEqual(both);

  // A model that is not there says nothing of its properties.
  await cloud.kube.remove(resources.deviceModels, { namespace: "default", name: "thermo-model" });
  await cloud.clock.advance(2000);
  expect(twinsOf(cloud)).toEqual(both);
  cloud.kube.put(resources.deviceModels, { ...model, spec: { properties: [{ name: "humidity" }] } });
  await cloud.clock.advance(2000);
  expect(twinsOf(cloud)).toEqual([["target", "21", null]]);
  const stored = cloud.kube.peek<Device>(resources.devices, "default/thermo-1");
  expect(stored?.status?.reportedTime).toBe("2026-01-01T00:00:00Z");
});

test("device controller forgets the state of a device that goes to another node", async () => {
  await using cloud = await startCloud(
    (kube) => void kube.put(resources.devices, device("thermo-1", "edge-1")),
  );
  await cloud.clock.advance(1);
  const state = JSON.stringify({ timestamp: atStart, device: { state: "online" } });
  await cloud.say("device/thermo-1/state/update", state);
  const stored = (): Device | undefined => cloud.kube.peek<Device>(resources.devices, "default/thermo-1");
  expect(stored()?.status?.state).toBe("online");
  cloud.kube.put(resources.devices, {
    ...stored(),
    ...device("thermo-1", "edge-2"),
    status: stored()?.status,
  });
  await cloud.clock.advance(1000);
  expect(stored()?.status).toEqual({
    lastOnlineTime: "2026-01-01T00:00:00Z",
    reportedTime: "2026-01-01T00:00:00Z",
  });
});

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
