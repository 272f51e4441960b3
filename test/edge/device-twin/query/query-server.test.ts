import { expect, test } from "bun:test";
import { startHarness } from "#internal/test/edge/device-twin/harness.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

test("values and history are served over HTTP, bounded for each property", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path, {
    query: { address: "127.0.0.1", port: 0 },
    history: { maxAgeMs: 1e9, maxPerProperty: 4, maxPoints: 1000 },
  });
  await node.deliver("membership", { added_devices: [{ id: "d", name: "d" }] });
  for (let n = 0; n < 20; n += 1)
    await node.send("$hw/events/device/d/twin/update", { twin: { t: { actual: { value: `${n}` } } } });
  const at = `http://127.0.0.1:${node.twin.queryPort}`;
  const answer = (await (await fetch(`${at}/devices/d/t?limit=3`)).json()) as {
    history: { value: string }[];
  };
  expect(answer.history.map(({ value }) => value)).toEqual(["17", "18", "19"]);
  const kept = node.store.telemetry.query({ deviceId: "d", name: "t", limit: 100 }).length;
  expect(kept).toBeLessThanOrEqual(5);
  expect((await fetch(`${at}/devices/none`)).status).toBe(404);
});

test("a history query of the cloud is answered as one over HTTP", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path, { query: { address: "127.0.0.1", port: 0 } });
  await node.deliver("membership", { added_devices: [{ id: "d", name: "d" }] });
  for (const value of ["1", "2", "3"])
    await node.send("$hw/events/device/d/twin/update", { twin: { t: { actual: { value } } } });
  const answer = await fetch(`http://127.0.0.1:${node.twin.queryPort}/devices/d/t?limit=2`);
  const question = { property: "t", since: 0, limit: 2 };
  expect(await node.ask("device/d/history", question)).toEqual(await answer.json());
});

test("a wrong history query is answered with what is wrong", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path, { query: { address: "127.0.0.1", port: 0 } });
  await node.deliver("membership", { added_devices: [{ id: "d", name: "d" }] });
  await node.send("$hw/events/device/d/twin/update", { twin: { t: { actual: { value: "1" } } } });
  const limit = 'limit: expected a whole number from 1 to 10000, got "ten"';
  expect([
    await node.ask("device/x/history", { property: "t" }),
    await node.ask("device/d/history", { property: "u" }),
    await node.ask("device/d/history", {}),
    await node.ask("device/d/history", { property: "t", limit: "ten" }),
  ]).toEqual([
    { code: 404, error: 'device "x" not found' },
    { code: 404, error: 'property "u" not found' },
    { code: 400, error: "property: expected the name of a property" },
    { code: 400, error: limit },
  ]);
  const over = await fetch(`http://127.0.0.1:${node.twin.queryPort}/devices/d/t?limit=ten`);
  expect([over.status, await over.json()]).toEqual([400, { error: limit }]);
});

test("values and history are served by namespace and name too", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path, { query: { address: "127.0.0.1", port: 0 } });
  const meter = (namespace: string): object => ({
    metadata: { name: "meter", namespace, uid: namespace },
    spec: { deviceModelRef: { name: "" }, nodeName: "ke-edge", properties: [{ name: "p" }] },
  });
  for (const namespace of ["lab", "default"]) await node.addDevice(meter(namespace));
  for (const namespace of ["lab", "default"]) {
    const twin = { p: { actual: { value: namespace } } };
    await node.send(`$hw/events/device/${namespace}/meter/twin/update`, { twin });
  }
  const get = async (path: string): Promise<unknown> =>
    (await fetch(`http://127.0.0.1:${node.twin.queryPort}/devices/${path}`)).json();
  for (const namespace of ["lab", "default"]) {
    const shown = { twin: { p: { actual: { value: namespace } } } };
    expect(await get(`${namespace}/meter`)).toMatchObject(shown);
    expect(await get(`${namespace}%2Fmeter`)).toMatchObject(shown);
    expect(await get(`${namespace}/meter/p`)).toMatchObject({ history: [{ value: namespace }] });
  }
  expect(await get("meter/p")).toMatchObject({ history: [{ value: "lab" }] });
  expect(await get("other/meter")).toEqual({ error: 'device "other" not found' });
});
