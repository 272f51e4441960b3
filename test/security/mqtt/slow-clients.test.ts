import { expect, test } from "bun:test";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { generate, parser, type IPublishPacket } from "mqtt-packet";
import { WebSocket } from "ws";
import { connectPacket, openRaw } from "#internal/test/edge/mqtt/broker/raw-client.ts";
import { createAuthority } from "#shared/pki";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startMeasured, type MeasuredBroker } from "./measured-broker.ts";

const dropped = "dropped messages of QoS 0 for an MQTT client that reads too slowly";
const disconnected = "disconnected an MQTT client that reads too slowly";

interface Line {
  write(bytes: Buffer): void;
  /** Reads nothing more. */
  stop(): void;
  onData(take: (bytes: Buffer) => void): void;
  close(): void;
}

type Transport = "TCP" | "TLS" | "WebSocket";

async function openLine(transport: Transport, { mqttPort, websocketPort }: MeasuredBroker): Promise<Line> {
  if (transport === "WebSocket") {
    const socket = new WebSocket(`ws://127.0.0.1:${websocketPort}`, ["mqtt"]);
    socket.on("error", () => undefined);
    await once(socket, "open");
    return {
      write: (bytes) => socket.send(bytes),
      stop: () => socket.pause(),
      onData: (take) => void socket.on("message", take),
      close: () => socket.terminate(),
    };
  }
  const socket: Socket =
    transport === "TLS"
      ? connectTls({ port: mqttPort, host: "127.0.0.1", rejectUnauthorized: false })
      : connectTcp(mqttPort, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, transport === "TLS" ? "secureConnect" : "connect");
  return {
    write: (bytes) => void socket.write(bytes),
    stop: () => void socket.pause(),
    onData: (take) => void socket.on("data", take),
    close: () => void socket.destroy(),
  };
}

/** Subscribes to all there is, and reads nothing more once that is answered. */
async function openDeaf(line: Line, clientId: string, qos: 0 | 1 = 0): Promise<void> {
  const answered = Promise.withResolvers<void>();
  let got = 0;
  line.onData(({ length }) => {
    got += length;
    if (got < 9) return;
    line.stop();
    answered.resolve();
  });
  line.write(generate(connectPacket(clientId)));
  line.write(generate({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "#", qos }] }));
  await answered.promise;
}

function message(topic: string, qos: 0 | 1, messageId: number, more: object = {}): IPublishPacket {
  const payload = Buffer.alloc(10_000, "A");
  payload.writeUInt32BE(messageId);
  return { cmd: "publish", topic, payload, qos, dup: false, retain: false, messageId, ...more };
}

/** Publishes with QoS 1. @returns when all of it is acknowledged */
async function publishAll(port: number, count: number, more: object = {}): Promise<void> {
  using writer = await openRaw(port);
  writer.send(connectPacket("writer"));
  await writer.next();
  for (let n = 1; n <= count; n += 1) {
    const topic = "retain" in more ? `t/${n}` : "t/x";
    if (!writer.socket.write(generate(message(topic, 1, n, more)))) await once(writer.socket, "drain");
  }
  for (let n = 1; n <= count; n += 1) expect((await writer.next()).cmd).toBe("puback");
}

async function makeCertificate(directory: string): Promise<{ certFile: string; keyFile: string }> {
  const nowMs = Date.now();
  const authority = await createAuthority({ commonName: "test", days: 2, nowMs });
  const server = await authority.issue({
    subject: { commonName: "localhost" },
    hosts: ["127.0.0.1"],
    usage: "server",
    days: 2,
    nowMs,
  });
  const [certFile, keyFile] = [join(directory, "cert.pem"), join(directory, "key.pem")];
  writeFileSync(certFile, server.cert);
  writeFileSync(keyFile, server.key);
  return { certFile, keyFile };
}

test.each<[Transport]>([["TCP"], ["WebSocket"], ["TLS"]])(
  "broker keeps its memory and serves others when 100 subscribers over %s do not read",
  async (transport) => {
    using dir = tempDir();
    const secured =
      transport === "TLS" ? { ...(await makeCertificate(dir.path)), url: "ssl://127.0.0.1:0" } : {};
    await using broker = await startMeasured(dir.path, secured);
    const lines: Line[] = [];
    for (let n = 0; n < 100; n += 1) {
      const line = await openLine(transport, broker);
      await openDeaf(line, `deaf-${n}`);
      lines.push(line);
    }
    const beforeMb = broker.residentMb();
    const writer = await openLine(transport, broker);
    const answers = parser({ protocolVersion: 4 });
    const done = Promise.withResolvers<void>();
    answers.on("packet", ({ cmd }) => {
      if (cmd === "pingresp") done.resolve();
    });
    writer.onData((bytes) => answers.parse(bytes));
    writer.write(generate(connectPacket("writer")));
    for (let n = 1; n <= 700; n += 1) writer.write(generate(message("t/x", 0, n)));
    writer.write(generate({ cmd: "pingreq" }));
    await done.promise;
    expect(broker.peakMb() - beforeMb).toBeLessThan(120);
    const log = await broker.log();
    expect(log.find(({ msg }) => msg === dropped)?.client).toMatch(/^deaf-\d+$/);
    expect(log.filter(({ msg }) => msg === disconnected)).toEqual([]);
    for (const line of [...lines, writer]) line.close();
  },
  30_000,
);

test("broker keeps its memory when 400 subscribers do not read what is retained", async () => {
  using dir = tempDir();
  await using broker = await startMeasured(dir.path);
  await publishAll(broker.mqttPort, 1500, { retain: true });
  const beforeMb = broker.peakMb();
  const lines: Line[] = [];
  for (let n = 0; n < 400; n += 1) {
    const line = await openLine("TCP", broker);
    await openDeaf(line, `deaf-${n}`, n % 2 === 0 ? 0 : 1);
    lines.push(line);
  }
  await publishAll(broker.mqttPort, 10);
  expect(broker.peakMb() - beforeMb).toBeLessThan(160);
  for (const line of lines) line.close();
}, 30_000);

/** Reads about 12 MB a second, slower than is published. */
function readSlowly(socket: Socket, bytes = Infinity, everyMs = 5): void {
  let got = 0;
  socket.on("data", ({ length }) => {
    got += length;
    if (got < bytes && bytes !== Infinity) return;
    got = 0;
    socket.pause();
    setTimeout(() => socket.resume(), everyMs);
  });
}

test.each([
  [0, true],
  [1, true],
  [1, false],
] as const)(
  "broker delivers a burst of 3000 messages of 10 kB to a subscriber that reads them slowly (QoS %i, clean: %p)",
  async (qos, clean) => {
    using dir = tempDir();
    await using broker = await startMeasured(dir.path);
    using reader = await openRaw(broker.mqttPort);
    reader.send(connectPacket("slow", { clean }), {
      cmd: "subscribe",
      messageId: 1,
      subscriptions: [{ topic: "t/#", qos }],
    });
    expect([(await reader.next()).cmd, (await reader.next()).cmd]).toEqual(["connack", "suback"]);
    readSlowly(reader.socket);
    const sent = publishAll(broker.mqttPort, 3000);
    const got: number[] = [];
    while (got.length < 3000) {
      const packet = await Promise.race([reader.next(), reader.closed]);
      if (typeof packet !== "object" || packet === null || !("payload" in packet)) break;
      const { payload, messageId = 0 } = packet as IPublishPacket;
      got.push(Buffer.from(payload).readUInt32BE());
      if (qos > 0) reader.send({ cmd: "puback", messageId });
    }
    expect(got).toEqual(Array.from({ length: 3000 }, (_, n) => n + 1));
    await sent;
  },
  30_000,
);

test("broker stops a publisher for seconds at most when a subscriber reads nothing", async () => {
  using dir = tempDir();
  await using broker = await startMeasured(dir.path);
  const line = await openLine("TCP", broker);
  await openDeaf(line, "deaf");
  const startMs = performance.now();
  await publishAll(broker.mqttPort, 5000);
  expect(performance.now() - startMs).toBeLessThan(8000);
  expect(await broker.log()).toContainEqual(expect.objectContaining({ msg: dropped, client: "deaf" }));
  line.close();
}, 30_000);

test("broker stops a publisher for seconds at most when a subscriber reads just a little", async () => {
  using dir = tempDir();
  await using broker = await startMeasured(dir.path);
  const socket = connectTcp(broker.mqttPort, "127.0.0.1");
  await once(socket, "connect");
  readSlowly(socket, 50_000, 100);
  socket.write(generate(connectPacket("trickle")));
  socket.write(generate({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "#", qos: 0 }] }));
  await once(socket, "data");
  const startMs = performance.now();
  await publishAll(broker.mqttPort, 6000);
  expect(performance.now() - startMs).toBeLessThan(14_000);
  expect(socket.readyState).toBe("open");
  socket.destroy();
}, 30_000);

test("broker does not stop a client for its own messages, and answers it when it reads", async () => {
  using dir = tempDir();
  await using broker = await startMeasured(dir.path);
  using client = await openRaw(broker.mqttPort);
  client.send(connectPacket("loop"), {
    cmd: "subscribe",
    messageId: 1,
    subscriptions: [{ topic: "t/#", qos: 0 }],
  });
  expect([(await client.next()).cmd, (await client.next()).cmd]).toEqual(["connack", "suback"]);
  client.socket.pause();
  for (let n = 1; n <= 3000; n += 1) client.send(message("t/x", 0, n));
  client.send({ cmd: "pingreq" });
  await publishAll(broker.mqttPort, 100);
  client.socket.resume();
  for (;;) if ((await client.next()).cmd === "pingresp") break;
}, 20_000);

test("broker disconnects a subscriber that leaves messages of QoS 1 unread, and counts it", async () => {
  using dir = tempDir();
  await using broker = await startMeasured(dir.path);
  const line = await openLine("TCP", broker);
  await openDeaf(line, "deaf", 1);
  await publishAll(broker.mqttPort, 3000);
  expect(await broker.log()).toContainEqual(expect.objectContaining({ msg: disconnected, client: "deaf" }));
  await publishAll(broker.mqttPort, 1);
  line.close();
}, 20_000);
