import tls from "node:tls";
import { expect, test } from "bun:test";
import { once } from "node:events";
import { X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { connectAsync } from "mqtt";
import { generate } from "mqtt-packet";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startBus } from "#internal/test/edge/mqtt/event-bus/harness.ts";
import { connectPacket } from "#internal/test/edge/mqtt/broker/raw-client.ts";
import { makeCertificate } from "./certificate.ts";
import { needsCommands } from "#internal/test/support/needs.ts";

const hasOpenssl = needsCommands("openssl");

test.skipIf(!hasOpenssl)("broker serves TLS over TCP and WebSocket", async () => {
  using dir = tempDir();
  const pair = makeCertificate(dir.path);
  const ca = readFileSync(pair.certFile);
  await using edge = await startBus(dir.path, {
    broker: { ...pair, url: "ssl://127.0.0.1:0", websocketUrl: "wss://127.0.0.1:0" },
  });
  for (const url of [`mqtts://127.0.0.1:${edge.bus.mqttPort}`, `wss://127.0.0.1:${edge.bus.websocketPort}`]) {
    const client = await connectAsync(url, { ca, reconnectPeriod: 0 });
    await client.publishAsync("$hw/events/device/d/twin/update", "{}", { qos: 1 });
    await client.endAsync(true);
  }
  expect(edge.received.length).toBe(2);
});

test.skipIf(!hasOpenssl).each(["mqtts", "wss"])(
  "broker authenticates a client of %s by its certificate",
  async (scheme) => {
    using dir = tempDir();
    const pair = makeCertificate(dir.path);
    const ca = readFileSync(pair.certFile);
    await using edge = await startBus(dir.path, {
      broker: {
        ...pair,
        caFile: pair.certFile,
        url: "ssl://127.0.0.1:0",
        websocketUrl: "wss://127.0.0.1:0",
        anonymous: false,
        acl: [{ user: undefined, topic: "public", access: "readwrite" }],
      },
    });
    const url = `${scheme}://127.0.0.1:${scheme === "wss" ? edge.bus.websocketPort : edge.bus.mqttPort}`;
    await expect(connectAsync(url, { ca, reconnectPeriod: 0 }, false)).rejects.toThrow();
    const known = { cert: ca, key: readFileSync(pair.keyFile) };
    const client = await connectAsync(url, { ca, ...known, reconnectPeriod: 0 }, false);
    // The certificate says who it is: the device of that name.
    await client.publishAsync("$hw/events/device/localhost/twin/update", "{}", { qos: 1 });
    const closed = new Promise<void>((resolve) => client.once("close", () => resolve()));
    client.publish("$hw/events/device/other/twin/update", "{}", { qos: 1 });
    await closed;
    expect(edge.received.length).toBe(1);
    await client.endAsync(true);
  },
);

test.skipIf(!hasOpenssl)(
  "broker survives clients that disconnect while it checks their certificates",
  async () => {
    using dir = tempDir();
    const pair = makeCertificate(dir.path);
    const failures: unknown[] = [];
    const note = (error: unknown): void => void failures.push(error);
    process.on("unhandledRejection", note);
    await using edge = await startBus(dir.path, {
      broker: { ...pair, caFile: pair.certFile, url: "ssl://127.0.0.1:0", websocketUrl: undefined },
    });
    const cert = readFileSync(pair.certFile);
    const trusted = { ca: cert, cert, key: readFileSync(pair.keyFile) };
    for (let n = 0; n < 20; n += 1) {
      const socket = tls.connect({ port: edge.bus.mqttPort ?? 0, host: "127.0.0.1", ...trusted });
      socket.on("error", () => undefined);
      await once(socket, "secureConnect");
      // The CONNACK may arrive: without a reader the socket would stay open.
      socket.resume();
      const closed = once(socket, "close");
      const leave = generate({ cmd: "disconnect" });
      if (n % 2 === 0) socket.end(Buffer.concat([generate(connectPacket(`c${n}`)), leave]));
      else socket.write(generate(connectPacket(`c${n}`)), () => socket.destroy());
      await closed;
    }
    const last = await connectAsync(`mqtts://127.0.0.1:${edge.bus.mqttPort}`, trusted, false);
    await last.endAsync(true);
    process.off("unhandledRejection", note);
    expect(failures).toEqual([]);
  },
);

test.skipIf(!hasOpenssl)("broker counts and closes connections that never start TLS", async () => {
  using dir = tempDir();
  const pair = makeCertificate(dir.path);
  const edge = await startBus(dir.path, {
    broker: { ...pair, url: "ssl://127.0.0.1:0", websocketUrl: undefined, maxConnections: 2 },
  });
  let left = 0;
  const eighteen = Promise.withResolvers<void>();
  const all = Promise.withResolvers<void>();
  for (let n = 0; n < 20; n += 1) {
    const socket = connect(edge.bus.mqttPort ?? 0, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.once("close", () => {
      left += 1;
      if (left === 18) eighteen.resolve();
      if (left === 20) all.resolve();
    });
  }
  await eighteen.promise;
  await edge[Symbol.asyncDispose]();
  await all.promise;
  expect(left).toBe(20);
});

test.skipIf(!hasOpenssl)(
  "broker reloads its certificate for both ports, and keeps the old one when that fails",
  async () => {
    using dir = tempDir();
    const pair = makeCertificate(dir.path);
    const fingerprint = (): string => new X509Certificate(readFileSync(pair.certFile)).fingerprint;
    const first = fingerprint();
    await using edge = await startBus(dir.path, {
      broker: { ...pair, url: "ssl://127.0.0.1:0", websocketUrl: "wss://127.0.0.1:0" },
    });
    const shown = (): Promise<string[]> =>
      Promise.all([edge.bus.mqttPort, edge.bus.websocketPort].map((port) => shownAt(port ?? 0)));
    makeCertificate(dir.path);
    const second = fingerprint();
    const before = await shown();
    edge.bus.reload();
    const after = await shown();
    writeFileSync(pair.certFile, "no certificate");
    edge.bus.reload();
    expect({ before, after, kept: await shown() }).toEqual({
      before: [first, first],
      after: [second, second],
      kept: [second, second],
    });
  },
);

/** The fingerprint of the certificate a server shows. */
async function shownAt(port: number): Promise<string> {
  const socket = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const { fingerprint } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint;
}

test.skipIf(!hasOpenssl)("broker logs once for each address why its TLS handshakes fail", async () => {
  using dir = tempDir();
  const pair = makeCertificate(dir.path);
  await using edge = await startBus(dir.path, {
    broker: { ...pair, caFile: pair.certFile, url: "ssl://0.0.0.0:0", websocketUrl: "wss://0.0.0.0:0" },
  });
  const ports = [edge.bus.mqttPort ?? 0, edge.bus.websocketPort ?? 0];
  const ca = readFileSync(pair.certFile);
  for (let n = 0; n < 2; n += 1) {
    const socket = tls.connect({ port: ports[0], host: "127.0.0.1", ca });
    socket.on("error", () => undefined);
    await new Promise((resolve) => socket.once("close", resolve).resume());
  }
  const plain = connect({ port: ports[1] ?? 0, host: "127.0.0.3", localAddress: "127.0.0.3" });
  plain.write(generate(connectPacket("c")));
  await new Promise((resolve) => plain.once("close", resolve).resume());
  const logged = edge.log.lines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg }) => msg === "TLS handshake with an MQTT client failed")
    .map(({ level, address, problem }) => ({ level, address, problem }));
  expect(logged).toEqual([
    { level: "warn", address: "127.0.0.1", problem: "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE" },
    { level: "warn", address: "127.0.0.3", problem: "ERR_SSL_WRONG_VERSION_NUMBER" },
  ]);
});
