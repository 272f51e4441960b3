import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { connect, connectAsync, type MqttClient } from "mqtt";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/** One figure of a benchmark: what was measured, the value and what it should be. */
export interface DeviceFigure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

interface Node extends AsyncDisposable {
  readonly port: number;
  readonly pid: number;
  readonly startMs: number;
}

/** Twin updates: latency one at a time, then throughput with 64 in flight, every one durable. */
export async function benchTwinUpdates(updates = 20_000): Promise<DeviceFigure[]> {
  using dir = tempDir("bench");
  await using node = await startNode(join(dir.path, "edge.db"), 100);
  const client = await connectAsync(`mqtt://127.0.0.1:${node.port}`, { protocolVersion: 4 });
  await client.subscribeAsync("$hw/events/device/+/twin/update/result", { qos: 1 });
  const single = await inFlight(client, 2000, 1);
  const many = await inFlight(client, updates, 64);
  await client.endAsync();
  return [
    { name: "twin update to result p50, one at a time", value: quantile(single.ms, 0.5), unit: "ms" },
    { name: "twin update to result p99, one at a time", value: quantile(single.ms, 0.99), unit: "ms" },
    { name: "twin updates, 64 in flight", value: many.perSecond, unit: "/s" },
    { name: "twin update to result p99, 64 in flight", value: quantile(many.ms, 0.99), unit: "ms" },
  ];
}

/** Many devices on one node: time to start with them and memory, each with reported values. */
export async function benchManyDevices(devices = 10_000): Promise<DeviceFigure[]> {
  using dir = tempDir("bench");
  const path = join(dir.path, "edge.db");
  {
    await using node = await startNode(path, devices);
    const client = await connectAsync(`mqtt://127.0.0.1:${node.port}`, { protocolVersion: 4 });
    await client.subscribeAsync("$hw/events/device/+/twin/update/result", { qos: 1 });
    await inFlight(client, devices, 64, devices);
    await client.endAsync();
  }
  await using node = await startNode(path, 0);
  return [
    { name: `start with ${devices} devices`, value: node.startMs, unit: "ms" },
    { name: `memory with ${devices} devices`, value: residentMb(node.pid), unit: "MB" },
  ];
}

/** The inner broker beside mosquitto: messages a second through one reader and four writers, memory a connection. */
export async function benchBroker(messages = 40_000): Promise<DeviceFigure[]> {
  using dir = tempDir("bench");
  await using node = await startNode(join(dir.path, "edge.db"), 0);
  await using mosquitto = await startMosquitto(dir.path);
  const figures: DeviceFigure[] = [];
  for (const qos of [0, 1] as const)
    for (const [name, port] of [
      ["inner broker", node.port],
      ["mosquitto", mosquitto.port],
    ] as const)
      figures.push({ name: `${name} QoS ${qos}`, value: await throughput(port, qos, messages), unit: "/s" });
  for (const [name, at] of [
    ["inner broker", node],
    ["mosquitto", mosquitto],
  ] as const)
    figures.push({ name: `${name} memory a connection`, value: await perConnection(at), unit: "KB" });
  return figures;
}

async function inFlight(
  client: MqttClient,
  total: number,
  most: number,
  devices = 100,
): Promise<{ readonly ms: number[]; readonly perSecond: number }> {
  const sentAt = new Map<string, number>();
  const ms: number[] = [];
  const done = Promise.withResolvers<void>();
  let sent = 0;
  const send = (): void => {
    const event_id = `e${sent}`;
    const twin = { temperature: { actual: { value: String(sent) }, metadata: { type: "string" } } };
    sentAt.set(event_id, performance.now());
    const body = JSON.stringify({ event_id, timestamp: Date.now(), twin });
    client.publish(`$hw/events/device/d${sent % devices}/twin/update`, body, { qos: 1 });
    sent += 1;
  };
  const hear = (_: string, payload: Buffer): void => {
    const { event_id } = JSON.parse(payload.toString()) as { event_id: string };
    ms.push(performance.now() - (sentAt.get(event_id) ?? 0));
    sentAt.delete(event_id);
    if (ms.length === total) done.resolve();
    if (sent < total) send();
  };
  client.on("message", hear);
  const start = performance.now();
  while (sent < Math.min(most, total)) send();
  await done.promise;
  client.off("message", hear);
  return { ms, perSecond: Math.round(total / ((performance.now() - start) / 1000)) };
}

async function throughput(port: number, qos: 0 | 1, total: number): Promise<number> {
  const url = `mqtt://127.0.0.1:${port}`;
  const reader = await connectAsync(url, { protocolVersion: 4 });
  const writers = await Promise.all([1, 2, 3, 4].map(() => connectAsync(url, { protocolVersion: 4 })));
  await reader.subscribeAsync("bench/#", { qos });
  const done = Promise.withResolvers<void>();
  let got = 0;
  reader.on("message", () => {
    got += 1;
    if (got === total) done.resolve();
  });
  const payload = Buffer.alloc(128, 65);
  const start = performance.now();
  await Promise.all(
    writers.map((writer, n) => write(writer, { topic: `bench/${n}`, payload, qos, count: total / 4 })),
  );
  await done.promise;
  const perSecond = Math.round(total / ((performance.now() - start) / 1000));
  for (const client of [reader, ...writers]) await client.endAsync(true);
  return perSecond;
}

async function write(
  client: MqttClient,
  work: { readonly topic: string; readonly payload: Buffer; readonly qos: 0 | 1; readonly count: number },
): Promise<void> {
  const { topic, payload, qos, count } = work;
  for (let n = 0; n < count; n += 50)
    await Promise.all(
      Array.from({ length: Math.min(50, count - n) }, () => client.publishAsync(topic, payload, { qos })),
    );
}

async function perConnection({
  port,
  pid,
}: {
  readonly port: number;
  readonly pid: number;
}): Promise<number> {
  const before = residentMb(pid);
  const clients = await Promise.all(
    Array.from({ length: 500 }, () => connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 4 })),
  );
  const kb = ((residentMb(pid) - before) * 1024) / clients.length;
  await Promise.all(clients.map((client) => client.endAsync(true)));
  return Math.round(kb * 10) / 10;
}

async function startNode(database: string, devices: number): Promise<Node> {
  const script = join(import.meta.dir, "devices-node.ts");
  const child = Bun.spawn([process.execPath, script, database, String(devices)], { stderr: "inherit" });
  let text = "";
  for await (const chunk of child.stdout) {
    text += new TextDecoder().decode(chunk);
    if (text.includes("\n")) break;
  }
  const { port, startMs } = JSON.parse(text) as { port: number; startMs: number };
  return {
    port,
    pid: child.pid,
    startMs: Math.round(startMs),
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await child.exited;
    },
  };
}

async function startMosquitto(directory: string): Promise<Omit<Node, "startMs">> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  await new Promise((resolve) => server.close(resolve));
  const file = join(directory, "mosquitto.conf");
  writeFileSync(file, `listener ${port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n`);
  const child = Bun.spawn(["/usr/sbin/mosquitto", "-c", file], { stdout: "ignore", stderr: "ignore" });
  const probe = connect(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 50 });
  probe.on("error", () => undefined);
  await new Promise<void>((resolve) => probe.once("connect", () => resolve()));
  await probe.endAsync(true);
  return {
    port,
    pid: child.pid,
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await child.exited;
    },
  };
}

function residentMb(pid: number): number {
  const kb = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Math.round(Number(kb ?? 0) / 102.4) / 10;
}

function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return Math.round((sorted[Math.floor(q * (sorted.length - 1))] ?? 0) * 100) / 100;
}

if (import.meta.main)
  for (const bench of [benchTwinUpdates, benchManyDevices, benchBroker])
    for (const { name, value, unit } of await bench()) console.log(`${name.padEnd(45)} ${value} ${unit}`);
