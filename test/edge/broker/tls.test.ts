import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startBus } from "#internal/test/edge/eventbus/harness.ts";

const openssl = Bun.which("openssl");

function makeCertificate(directory: string): { readonly certFile: string; readonly keyFile: string } {
  const [certFile, keyFile] = [join(directory, "cert.pem"), join(directory, "key.pem")];
  const request =
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost";
  const names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  const files = ["-keyout", keyFile, "-out", certFile];
  const made = Bun.spawnSync([openssl ?? "", ...request.split(" "), ...names, ...files]);
  expect(made.exitCode).toBe(0);
  return { certFile, keyFile };
}

test.skipIf(!openssl)(
  "broker speaks TLS, over TCP and WebSocket, and wants a client certificate when told",
  async () => {
    using dir = tempDir();
    const pair = makeCertificate(dir.path);
    const ca = readFileSync(pair.certFile);
    {
      await using edge = await startBus(dir.path, {
        broker: { ...pair, url: "ssl://127.0.0.1:0", websocketUrl: "wss://127.0.0.1:0" },
      });
      for (const url of [
        `mqtts://127.0.0.1:${edge.bus.mqttPort}`,
        `wss://127.0.0.1:${edge.bus.websocketPort}`,
      ]) {
        const client = await connectAsync(url, { ca, reconnectPeriod: 0 });
        await client.publishAsync("$hw/events/device/d/twin/update", "{}", { qos: 1 });
        await client.endAsync(true);
      }
      expect(edge.received.length).toBe(2);
    }
    await using strict = await startBus(dir.path, {
      broker: {
        ...pair,
        caFile: pair.certFile,
        url: "ssl://127.0.0.1:0",
        websocketUrl: undefined,
        anonymous: false,
        acl: [{ user: undefined, topic: "public", access: "readwrite" }],
      },
    });
    const url = `mqtts://127.0.0.1:${strict.bus.mqttPort}`;
    await expect(connectAsync(url, { ca, reconnectPeriod: 0 }, false)).rejects.toThrow();
    const known = { cert: ca, key: readFileSync(pair.keyFile) };
    const client = await connectAsync(url, { ca, ...known, reconnectPeriod: 0 }, false);
    // The certificate says who it is: the device of that name.
    await client.publishAsync("$hw/events/device/localhost/twin/update", "{}", { qos: 1 });
    const closed = new Promise<void>((resolve) => client.once("close", () => resolve()));
    client.publish("$hw/events/device/other/twin/update", "{}", { qos: 1 });
    await closed;
    expect(strict.received.length).toBe(1);
    await client.endAsync(true);
  },
);
