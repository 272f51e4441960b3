import { expect, test } from "bun:test";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { openStore } from "#edge/store";
import { tempDir } from "#internal/test/support/temp-dir.ts";

test("edgecore has every update it answered when it is killed", async () => {
  using dir = tempDir();
  const database = join(dir.path, "edge.db");
  const script = join(import.meta.dir, "devices-node.ts");
  const node = Bun.spawn([process.execPath, script, database, "10"]);
  const { value } = await node.stdout.getReader().read();
  const { port } = JSON.parse(new TextDecoder().decode(value)) as { port: number };
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0 });
  await client.subscribeAsync("$hw/events/device/+/twin/update/result", { qos: 1 });
  const answered = new Map<string, number>();
  const enough = Promise.withResolvers<void>();
  client.on("message", (topic, payload) => {
    const body = JSON.parse(payload.toString()) as { twin: { n: { actual: { value: string } } } };
    answered.set(topic.split("/")[3] ?? "", Number(body.twin.n.actual.value));
    if ([...answered.values()].reduce((sum, n) => Math.max(sum, n), 0) > 1500) enough.resolve();
  });
  client.on("error", () => undefined);
  for (let n = 1; n <= 20_000; n += 1) {
    const body = JSON.stringify({ event_id: "e", twin: { n: { actual: { value: String(n) } } } });
    client.publish(`$hw/events/device/d${n % 10}/twin/update`, body, { qos: 1 }, () => undefined);
  }
  await enough.promise;
  node.kill("SIGKILL");
  await node.exited;
  await client.endAsync(true);

  using store = openStore(database);
  const stored = new Map([...store.twins.each()].map(({ deviceId, actual }) => [deviceId, Number(actual)]));
  for (const [device, value] of answered) expect(stored.get(device)).toBeGreaterThanOrEqual(value);
  const reported = new Map<string, number>();
  for (const { message } of store.outbox.listAfter(0, 100_000)) {
    const { route, content } = JSON.parse(message) as {
      route: { resource: string };
      content: { twin: { n: { actual: { value: string } } } };
    };
    reported.set(route.resource.split("/")[1] ?? "", Number(content.twin.n.actual.value));
  }
  expect(reported).toEqual(stored);
});
