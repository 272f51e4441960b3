import { expect, test } from "bun:test";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startHarness, thermo } from "#internal/test/edge/device-twin/harness.ts";

const device = "$hw/events/device/thermo-1";

async function deltaOf(type: string, wish: string, actual: string): Promise<unknown> {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.addDevice({
    metadata: { name: "thermo-model", namespace: "default" },
    spec: { properties: [{ name: "target", type }] },
  });
  await node.addDevice(thermo({ target: wish }));
  node.take();
  await node.send(`${device}/twin/update`, { twin: { target: { actual: { value: actual } } } });
  const delta = node.take().find(({ topic }) => topic.endsWith("/delta"));
  return delta?.payload["delta"];
}

test.each([
  ["FLOAT", "21", "21.0"],
  ["FLOAT", "+.5", "5e-1"],
  ["INT", "007", "+7"],
  ["INT", "21.0", "21"],
  ["BOOLEAN", "True", "true"],
])("%s %s is reached by %s", async (type, wish, actual) => {
  expect(await deltaOf(type, wish, actual)).toBeUndefined();
});

test.each([
  ["STRING", "21", "21.0"],
  ["FLOAT", "21", "21.1"],
  ["INT", "9007199254740993", "9007199254740992"],
  ["FLOAT", "warm", "0"],
])("%s %s is not reached by %s", async (type, wish, actual) => {
  expect(await deltaOf(type, wish, actual)).toEqual({ target: wish });
});
