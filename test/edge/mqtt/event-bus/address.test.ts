import { afterAll, beforeAll, expect, spyOn, test } from "bun:test";
import { join } from "node:path";
import url from "node:url";
import { parseMqttAddress } from "#shared/mqtt";
import { makeFiles, type Files } from "#internal/test/edge/commands/check/files.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startBus } from "./harness.ts";
import { externalAt } from "./scripted-broker.ts";
import { until } from "#internal/test/edge/mqtt/until.ts";

let files: Files;
beforeAll(async () => void (files = await makeFiles()));
afterAll(() => files[Symbol.dispose]());

test.each([
  ["tcp://broker", { protocol: "mqtt", hostname: "broker" }],
  ["mqtt://[::1]:1884", { protocol: "mqtt", hostname: "::1", port: 1884 }],
  [
    "ssl://ann:a%3Ab@10.0.0.1:8883",
    { protocol: "mqtts", hostname: "10.0.0.1", port: 8883, username: "ann", password: "a:b" },
  ],
  ["ws://[::1]:81/mqtt?a=b", { protocol: "ws", hostname: "[::1]", port: 81, path: "/mqtt?a=b" }],
  ["wss://broker", { protocol: "wss", hostname: "broker", path: "/" }],
  ["http://broker", undefined],
  ["tcp://broker:70000", undefined],
  ["tcp://ann:50%@broker", undefined],
])("MQTT address %s is read", (text, address) => {
  expect(parseMqttAddress(text)).toEqual(address as ReturnType<typeof parseMqttAddress>);
});

test.each(["ssl", "wss"] as const)(
  "event bus authenticates to an external broker by certificate over %s://",
  async (scheme) => {
    using dir = tempDir();
    using other = tempDir();
    const at = (name: string): string => join(files.path, name);
    const pair = { certFile: at("broker.crt"), keyFile: at("broker.key"), caFile: at("ca.crt") };
    await using broker = await startBus(dir.path, {
      broker: { ...pair, url: "ssl://127.0.0.1:0", websocketUrl: "wss://127.0.0.1:0" },
    });
    const port = (scheme === "ssl" ? broker.bus.mqttPort : broker.bus.websocketPort) ?? 0;
    const external = { ...externalAt(port), ...pair, url: `${scheme}://127.0.0.1:${port}` };
    await using edge = await startBus(other.path, { broker: undefined, external });
    await until(() => edge.bus.externalConnected());
    expect(edge.log.lines.join("")).not.toContain('"warn"');
  },
);

test("event bus does not parse addresses with a deprecated function of Node", async () => {
  using dir = tempDir();
  const parse = spyOn(url, "parse");
  await using _edge = await startBus(dir.path, { broker: undefined, external: externalAt(1) });
  expect(parse).not.toHaveBeenCalled();
  parse.mockRestore();
});
