import { readFileSync } from "node:fs";
import { freePort, startMosquitto } from "#internal/test/support/machine/mosquitto.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { residentMb, type DeviceFigure } from "./devices.ts";
import { startPair } from "./pair.ts";
import { messagesPerSecond, openIdle, type MqttLoad } from "#internal/test/support/edge/mqtt-load.ts";

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

/** Each with both versions of MQTT. The CPU time of small messages is that of the broker alone. */
const loads = [
  { what: "100 B, QoS 0", qos: 0, payloadBytes: 100, messages: 100_000 },
  { what: "100 B, QoS 1", qos: 1, payloadBytes: 100, messages: 40_000 },
  { what: "10 KB, QoS 0", qos: 0, payloadBytes: 10_000, messages: 20_000 },
] as const;
const versions = [4, 5] as const;
const names = { 4: "3.1.1", 5: "5" } as const;

/**
 * The built-in broker beside mosquitto: messages a second from four publishers to one subscriber, with 50 messages in
 * flight each, and memory of an idle connection.
 */
export async function benchBroker(): Promise<DeviceFigure[]> {
  using dir = tempDir("bench");
  await using pair = await startPair(dir.path, 0);
  const port = await freePort();
  await using mosquitto = await startMosquitto(dir.path, port, rivalSettings);
  const contenders: readonly Contender[] = [
    { name: "built-in broker", port: pair.mqtt, pid: pair.edge.pid },
    { name: "mosquitto", port, pid: mosquitto.pid },
  ];
  const figures: DeviceFigure[] = [];
  for (const protocolVersion of versions)
    for (const { what, ...load } of loads) {
      const title = `MQTT ${names[protocolVersion]}, ${what}`;
      figures.push(...(await compare(contenders, title, { ...load, protocolVersion })));
    }
  for (const contender of contenders)
    figures.push({
      name: `${contender.name} memory a connection`,
      value: await perConnection(contender),
      unit: "KB",
    });
  return figures;
}

type Load = Pick<MqttLoad, "qos" | "payloadBytes" | "messages" | "protocolVersion">;

async function compare(contenders: readonly Contender[], title: string, load: Load): Promise<DeviceFigure[]> {
  const measured = new Map(contenders.map(({ name }) => [name, [] as Throughput[]]));
  for (let round = 0; round < rounds; round += 1)
    for (const contender of contenders) measured.get(contender.name)?.push(await measure(contender, load));
  return [...measured].flatMap(([name, values]) => [
    { name: `${name} ${title}`, value: median(values.map(({ perSecond }) => perSecond)), unit: "/s" },
    { name: `${name} ${title}, CPU a message`, value: median(values.map(({ us }) => us)), unit: "µs" },
  ]);
}

interface Throughput {
  readonly perSecond: number;
  /** CPU time of the broker for a message, which depends less on what else the machine does */
  readonly us: number;
}

async function measure({ port, pid }: Contender, load: Load): Promise<Throughput> {
  const beforeMs = cpuMs(pid);
  const perSecond = await messagesPerSecond({ ...load, port, publishers: 4, window: 50 });
  return { perSecond, us: Math.round(((cpuMs(pid) - beforeMs) * 10_000) / load.messages) / 10 };
}

/** User and system time of a process and its threads (fields 14 and 15 of proc_pid_stat(5), in ticks of 10 ms). */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/** Kilobytes of resident memory that each of 5000 idle connections adds. */
async function perConnection({ port, pid }: Contender): Promise<number> {
  const before = residentMb(pid);
  const sockets = await openIdle(port, 5, 5000);
  const kb = ((residentMb(pid) - before) * 1024) / sockets.length;
  for (const socket of sockets) socket.close();
  return Math.round(kb * 10) / 10;
}
