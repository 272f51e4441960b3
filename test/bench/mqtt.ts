import { readFileSync } from "node:fs";
import { connectAsync, type MqttClient } from "mqtt";
import { freePort, startMosquitto } from "#internal/test/support/machine/mosquitto.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { residentMb, type DeviceFigure } from "./devices.ts";
import { startPair } from "./pair.ts";

/** A broker under test. */
interface Contender {
  readonly name: string;
  readonly port: number;
  readonly pid: number;
}

/**
 * mosquitto as fast as it can be configured. Its defaults would limit it: 20 messages in flight (a round trip for each 20),
 * 1000 queued ones, and Nagle's algorithm, while the built-in broker sends without delay and has a window of 1000.
 *
 * Neither writes to disk here: sessions are clean and no topic is one of edgecore. What the built-in broker stores before
 * it acknowledges has no counterpart, as mosquitto saves its database at intervals (`autosave_interval`).
 */
const rivalSettings = [
  "set_tcp_nodelay true",
  "max_inflight_messages 0",
  "max_inflight_bytes 0",
  "max_queued_messages 0",
  "max_queued_bytes 0",
  "persistence false",
  "log_dest none",
];

/** On a busy machine single figures are noise: the brokers take turns, and the median of the rounds counts. */
const rounds = 3;

/**
 * The built-in broker beside mosquitto: messages a second from four publishers with 50 messages in flight each to one
 * subscriber, 128 bytes, and memory of a connection.
 */
export async function benchBroker(messages = 40_000): Promise<DeviceFigure[]> {
  using dir = tempDir("bench");
  await using pair = await startPair(dir.path, 0);
  const port = await freePort();
  await using mosquitto = await startMosquitto(dir.path, port, rivalSettings);
  const contenders: readonly Contender[] = [
    { name: "built-in broker", port: pair.mqtt, pid: pair.edge.pid },
    { name: "mosquitto", port, pid: mosquitto.pid },
  ];
  const figures: DeviceFigure[] = [];
  for (const qos of [0, 1] as const) {
    const measured = new Map(contenders.map(({ name }) => [name, [] as Throughput[]]));
    for (let round = 0; round < rounds; round += 1)
      for (const contender of contenders)
        measured.get(contender.name)?.push(await measure(contender, qos, messages));
    for (const [name, values] of measured)
      figures.push(
        { name: `${name} QoS ${qos}`, value: median(values.map(({ perSecond }) => perSecond)), unit: "/s" },
        { name: `${name} QoS ${qos} CPU a message`, value: median(values.map(({ us }) => us)), unit: "µs" },
      );
  }
  for (const contender of contenders)
    figures.push({
      name: `${contender.name} memory a connection`,
      value: await perConnection(contender),
      unit: "KB",
    });
  return figures;
}

interface Throughput {
  readonly perSecond: number;
  /** CPU time of the broker for a message, which depends less on what else the machine does */
  readonly us: number;
}

async function measure({ port, pid }: Contender, qos: 0 | 1, messages: number): Promise<Throughput> {
  const beforeMs = cpuMs(pid);
  const perSecond = await throughput(port, qos, messages);
  return { perSecond, us: Math.round(((cpuMs(pid) - beforeMs) * 10_000) / messages) / 10 };
}

/** User and system time of a process and its threads (fields 14 and 15 of proc_pid_stat(5), in ticks of 10 ms). */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

async function throughput(port: number, qos: 0 | 1, total: number): Promise<number> {
  const url = `mqtt://127.0.0.1:${port}`;
  const subscriber = await connectAsync(url, { protocolVersion: 4 });
  const publishers = await Promise.all([1, 2, 3, 4].map(() => connectAsync(url, { protocolVersion: 4 })));
  await subscriber.subscribeAsync("bench/#", { qos });
  const done = Promise.withResolvers<void>();
  let got = 0;
  subscriber.on("message", () => {
    got += 1;
    if (got === total) done.resolve();
  });
  const payload = Buffer.alloc(128, 65);
  const start = performance.now();
  await Promise.all(
    publishers.map((publisher, n) =>
      write(publisher, { topic: `bench/${n}`, payload, qos, count: total / 4 }),
    ),
  );
  await done.promise;
  const perSecond = Math.round(total / ((performance.now() - start) / 1000));
  for (const client of [subscriber, ...publishers]) await client.endAsync(true);
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

/** Kilobytes of resident memory that each of 500 connections adds. */
async function perConnection({ port, pid }: Contender): Promise<number> {
  const before = residentMb(pid);
  const clients = await Promise.all(
    Array.from({ length: 500 }, () => connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 4 })),
  );
  const kb = ((residentMb(pid) - before) * 1024) / clients.length;
  await Promise.all(clients.map((client) => client.endAsync(true)));
  return Math.round(kb * 10) / 10;
}
