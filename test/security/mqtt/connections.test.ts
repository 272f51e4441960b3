import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { connectAsync, type MqttClient } from "mqtt";
import { createAuthority } from "#shared/pki";
import { startBus } from "#internal/test/edge/mqtt/event-bus/harness.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const most = 20;

/** Silent connections, as many as there are places; each that is closed is replaced. */
function silentFlood(port: number): Disposable & { readonly connected: Promise<void> } {
  let ended = false;
  let connections = 0;
  const connected = Promise.withResolvers<void>();
  const sockets = new Set<net.Socket>();
  const add = (): void => {
    if (ended) return;
    const socket = net.connect({ host: "127.0.0.1", port });
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("connect", () => {
      connections += 1;
      if (connections === most) connected.resolve();
    });
    socket.once("close", () => {
      sockets.delete(socket);
      setTimeout(add, 200);
    });
  };
  for (let n = 0; n < most; n += 1) add();
  return {
    connected: connected.promise,
    [Symbol.dispose]: () => {
      ended = true;
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Tries as a device does. @returns undefined when it was not let in within the limit */
async function connectWithin(
  ms: number,
  url: string,
  options: { readonly ca?: string } = {},
): Promise<MqttClient | undefined> {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs) {
    try {
      return await connectAsync(url, { ...options, reconnectPeriod: 0, connectTimeout: 3000 }, false);
    } catch {
      await Bun.sleep(100);
    }
  }
  return undefined;
}

async function serverPair(directory: string) {
  const nowMs = Date.now();
  const ca = await createAuthority({ commonName: "test", days: 1, nowMs });
  const { cert, key } = await ca.issue({
    subject: { commonName: "broker" },
    hosts: ["127.0.0.1"],
    usage: "server",
    days: 1,
    nowMs,
  });
  const [certFile, keyFile] = [join(directory, "cert.pem"), join(directory, "key.pem")];
  writeFileSync(certFile, cert);
  writeFileSync(keyFile, key);
  return { ca: ca.certPem, certFile, keyFile };
}

test.each(["mqtt", "ws", "mqtts"] as const)(
  "broker lets a client in over %s while silent connections have all places",
  async (scheme) => {
    using dir = tempDir();
    const { ca, ...pair } = await serverPair(dir.path);
    const secure = scheme === "mqtts" ? { ...pair, url: "ssl://127.0.0.1:0", websocketUrl: undefined } : {};
    await using edge = await startBus(dir.path, { broker: { ...secure, maxConnections: most } });
    const port = (scheme === "ws" ? edge.bus.websocketPort : edge.bus.mqttPort) ?? 0;
    using flood = silentFlood(port);
    await flood.connected;
    const client = await connectWithin(8000, `${scheme}://127.0.0.1:${port}`, { ca });
    expect(client).toBeDefined();
    let isClosed = false;
    client?.on("close", () => (isClosed = true));
    // Longer than a silent one keeps its place.
    const endMs = performance.now() + 4000;
    while (performance.now() < endMs) await client?.publishAsync("a", "b", { qos: 1 });
    expect(isClosed).toBe(false);
    await client?.endAsync(true);
  },
  20_000,
);

test("broker refuses a new client when all places have clients that were let in", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path, { broker: { maxConnections: 2 } });
  await edge.connect();
  await edge.connect();
  expect(await connectWithin(4000, `mqtt://127.0.0.1:${edge.bus.mqttPort}`)).toBeUndefined();
});
