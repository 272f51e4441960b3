import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connectAsync, type IClientOptions, type MqttClient } from "mqtt";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { needsCommands } from "#internal/test/support/needs.ts";
import { collect, startBus } from "#internal/test/edge/mqtt/event-bus/harness.ts";
import { makeCertificate } from "#internal/test/edge/mqtt/sockets/certificate.ts";

const five: IClientOptions = { protocolVersion: 5, reconnectPeriod: 0 };

test.skipIf(!needsCommands("openssl")).each(["tcp", "websocket", "tls"] as const)(
  "MQTT.js asks and answers with MQTT 5 over %s",
  async (transport) => {
    using dir = tempDir();
    const pair = transport === "tls" ? makeCertificate(dir.path) : undefined;
    await using edge = await startBus(dir.path, {
      broker: pair ? { ...pair, url: "ssl://127.0.0.1:0", websocketUrl: undefined } : {},
    });
    const url = {
      tcp: `mqtt://127.0.0.1:${edge.bus.mqttPort}`,
      websocket: `ws://127.0.0.1:${edge.bus.websocketPort}`,
      tls: `mqtts://127.0.0.1:${edge.bus.mqttPort}`,
    }[transport];
    const options = pair ? { ...five, ca: readFileSync(pair.certFile) } : five;
    const [asking, answering] = [await connectAsync(url, options), await connectAsync(url, options)];
    await answering.subscribeAsync("ask", { qos: 1 });
    answering.on("message", (_, payload, { properties }) => {
      const { responseTopic = "", correlationData } = properties ?? {};
      answering.publish(responseTopic, `re: ${payload.toString()}`, {
        qos: 1,
        properties: { ...(correlationData && { correlationData }), userProperties: { by: ["a", "b"] } },
      });
    });
    await asking.subscribeAsync("answers/me", { qos: 1 });
    const got = new Promise<unknown[]>((resolve) =>
      asking.on("message", (topic, payload, { properties }) =>
        resolve([topic, payload.toString(), properties]),
      ),
    );
    const correlationData = Buffer.from([0, 255]);
    await asking.publishAsync("ask", "time?", {
      qos: 1,
      properties: { responseTopic: "answers/me", correlationData },
    });
    const [topic, text, properties] = await got;
    expect([topic, text]).toEqual(["answers/me", "re: time?"]);
    expect(properties).toMatchObject({ correlationData, userProperties: { by: ["a", "b"] } });
    for (const client of [asking, answering]) await client.endAsync(true);
  },
);

test("clients of MQTT 3.1, 3.1.1 and 5 talk to each other on one port", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const versions: IClientOptions[] = [
    { protocolId: "MQIsdp", protocolVersion: 3, clientId: "three" },
    { protocolVersion: 4 },
    { protocolVersion: 5 },
  ];
  const clients: MqttClient[] = [];
  for (const version of versions) clients.push(await edge.connect(version));
  const seen = clients.map((client) => collect(client));
  for (const client of clients) await client.subscribeAsync("all", { qos: 1 });
  for (const [index, client] of clients.entries())
    await client.publishAsync("all", String(index), { qos: 1 });
  for (const each of seen) expect((await each.count(3)).map(({ text }) => text)).toEqual(["0", "1", "2"]);
});

const hasMosquitto = needsCommands("mosquitto_pub", "mosquitto_sub");

test.skipIf(!hasMosquitto)("mosquitto's clients use MQTT 5 with its properties", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const common = ["-V", "5", "-p", String(edge.bus.mqttPort), "-t", "m", "-q", "2"];
  const run = (program: string, more: readonly string[]) =>
    Bun.spawn([program, ...common, ...more], { stdout: "pipe", stderr: "pipe" });
  const retained = run("mosquitto_pub", [
    "-r",
    "-m",
    "hello",
    "-D",
    "publish",
    "user-property",
    "a",
    "b",
    "-D",
    "publish",
    "content-type",
    "text/plain",
    "-D",
    "publish",
    "message-expiry-interval",
    "100",
  ]);
  expect([await retained.exited, await new Response(retained.stderr).text()]).toEqual([0, ""]);
  const reader = run("mosquitto_sub", [
    "-C",
    "1",
    "-W",
    "20",
    "-c",
    "-i",
    "s",
    "-x",
    "60",
    "-D",
    "subscribe",
    "subscription-identifier",
    "5",
    "-F",
    "%p %C %P %E %S",
  ]);
  expect(await new Response(reader.stdout).text()).toMatch(/^hello text\/plain a:b (100|99) 5\n$/);
});
