import { expect, test } from "bun:test";
import { applyDesired } from "#internal/edge/device-twin/twins/desired-value.ts";
import { twinFromRow } from "#internal/edge/device-twin/twins/twin-row.ts";
import {
  startHarness,
  thermo,
  thermoModel,
  type Harness,
  type Published,
} from "#internal/test/edge/device-twin/harness.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const device = "$hw/events/device/thermo-1";

async function withWish(directory: string): Promise<Harness> {
  const node = await startHarness(directory);
  await node.addDevice(thermoModel);
  await node.addDevice(thermo({ target: "21" }));
  node.take();
  return node;
}

/** Topics below the device, with the value of `target` in each. */
function shown(published: readonly Published[]): unknown {
  return published.map(({ topic, payload }) => {
    const twin = (payload["twin"] as Record<string, Twin | undefined> | undefined)?.["target"];
    return [
      topic.replace(`${device}/`, ""),
      payload["delta"] ?? twin?.current?.expected?.value ?? twin?.expected?.value,
    ];
  });
}

interface Twin {
  readonly expected?: { readonly value: string };
  readonly current?: Twin;
}

test.each(["25", ""])(
  "a client that expects %p instead gets the desired value of the Device",
  async (value) => {
    using dir = tempDir();
    await using node = await withWish(dir.path);
    await node.send(`${device}/twin/update`, { event_id: "e", twin: { target: { expected: { value } } } });
    expect(shown(node.take())).toEqual([
      ["twin/update/result", "21"],
      ["twin/update/document", "21"],
      ["twin/update/delta", { target: "21" }],
    ]);
  },
);

test("a client that reports and expects another value changes the reported one alone", async () => {
  using dir = tempDir();
  await using node = await withWish(dir.path);
  const target = { expected: { value: "18" }, actual: { value: "18" } };
  await node.send(`${device}/twin/update`, { event_id: "e", twin: { target } });
  const [result, , delta] = node.take();
  expect(result?.payload["twin"]).toMatchObject({
    target: { expected: { value: "21" }, actual: { value: "18" } },
  });
  expect(delta?.payload["delta"]).toEqual({ target: "21" });
});

test.each([
  { expected: { value: "25" }, expected_version: { cloud: 9_999_999, edge: 0 } },
  { metadata: { type: "deleted" } },
])("a sync with %j neither hides nor removes the desired value of the Device", async (target) => {
  using dir = tempDir();
  await using node = await withWish(dir.path);
  await node.send(`${device}/twin/cloud_updated`, { event_id: "e", twin: { target } });
  expect(shown(node.take())).toEqual([
    ["twin/update/document", "21"],
    ["twin/update/delta", { target: "21" }],
  ]);
  await node.send(`${device}/twin/get`, {});
  expect(shown(node.take())).toEqual([["twin/get/result", "21"]]);
});

test("a client may expect any value of a property without a desired one", async () => {
  using dir = tempDir();
  await using node = await withWish(dir.path);
  const twin = { temperature: { expected: { value: "3" } } };
  await node.send(`${device}/twin/update`, { event_id: "e", twin });
  expect(node.take().at(-1)?.payload["delta"]).toEqual({ target: "21", temperature: "3" });
});

test("a desired value hidden in a database of an older version is expected again", () => {
  const row = { deviceId: "d", name: "t", expected: "25", desired: "21", optional: 1, type: "float" };
  const rest = {
    actual: null,
    actualMeta: null,
    actualVersion: null,
    expectedMeta: null,
    expectedVersion: null,
  };
  const wish = { value: "21", cloud: 5 };
  const after = applyDesired(twinFromRow({ ...row, ...rest }), wish, { nowMs: 1, type: "float" });
  expect(after?.expected).toEqual({ value: "21", timestamp: 1, cloud: 5, edge: 0 });
});
