import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { connectAsync, type MqttClient } from "mqtt";
import { eventually, startService } from "#internal/scripts/service.ts";
import type { Device } from "#shared/kube";
import { watchOf } from "./api.ts";
import { devicesPath, expectDevices, portsOf, startPair } from "./pair.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/** One figure of a benchmark: what was measured, the value and what it should be. */
export interface DeviceFigure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

/** Twin updates: latency one at a time, then throughput with 64 in flight, every one durable and reported upward. */
export async function benchTwinUpdates(updates = 20_000): Promise<DeviceFigure[]> {
  using dir = tempDir("bench");
  await using pair = await startPair(dir.path, 100);
  const client = await connectAsync(`mqtt://127.0.0.1:${pair.mqtt}`, { protocolVersion: 4 });
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

/** Many devices on one node, each with a reported value: how long they take to get there, a restart, and memory. */
export async function benchManyDevices(devices = 10_000): Promise<DeviceFigure[]> {
  using dir = tempDir("bench");
  const begun = performance.now();
  await using pair = await startPair(dir.path, devices);
  const thereMs = performance.now() - begun;
  const client = await connectAsync(`mqtt://127.0.0.1:${pair.mqtt}`, { protocolVersion: 4 });
  await client.subscribeAsync("$hw/events/device/+/twin/update/result", { qos: 1 });
  const { perSecond } = await inFlight(client, devices, 64, devices);
  await client.endAsync();
  await pair.edge[Symbol.asyncDispose]();
  rmSync(join(dir.path, "bench/ports.json"), { force: true });
  const restarted = performance.now();
  const words = await pair.cloud.edgeWords("bench", "/var/run/docker.sock");
  await using edge = startService("edgecore", words, join(dir.path, "again.log"));
  await eventually(60_000, () => expectDevices(portsOf(dir.path).devices, devices));
  const startMs = performance.now() - restarted;
  await Bun.sleep(5000);
  return [
    { name: `${devices} devices made in the API and known to the node`, value: thereMs, unit: "ms" },
    { name: `first values of ${devices} devices, 64 in flight`, value: perSecond, unit: "/s" },
    { name: `start of edgecore with ${devices} devices`, value: startMs, unit: "ms" },
    { name: `edgecore resident with ${devices} devices`, value: residentMb(edge.pid), unit: "MiB" },
    {
      name: `cloudcore resident with ${devices} devices`,
      value: residentMb(pair.cloud.cloud.pid),
      unit: "MiB",
    },
  ];
}

/** 500 updates a second over 100 devices: from the publish until the API's watch shows that value or a newer one. */
export async function benchDeviceStatus(seconds = 10): Promise<DeviceFigure[]> {
  using dir = tempDir("bench");
  await using pair = await startPair(dir.path, 100);
  const client = await connectAsync(`mqtt://127.0.0.1:${pair.mqtt}`, { protocolVersion: 4 });
  const open = new Map<string, { value: number; at: number }[]>();
  const ms: number[] = [];
  const total = 500 * seconds;
  const seen = settle(watchOf(pair.cloud.kubeconfig, `${devicesPath}/devices`), { open, ms, total });
  await Bun.sleep(500);
  const start = performance.now();
  for (let n = 0; n < total; n += 1) {
    const late = start + n * 2 - performance.now();
    if (late > 0) await Bun.sleep(late);
    const device = `d${(n % 100) + 1}`;
    const waiting = open.get(device) ?? [];
    open.set(device, waiting);
    waiting.push({ value: n + 1, at: performance.now() });
    client.publish(`$hw/events/device/${device}/twin/update`, twinUpdate(`e${n}`, n + 1), { qos: 1 });
  }
  const spent = (performance.now() - start) / 1000;
  await Promise.race([seen, Bun.sleep(20_000)]);
  await client.endAsync();
  if (ms.length < total) throw new Error(`only ${ms.length} of ${total} values reached the API`);
  return [
    { name: "updates sent while measuring the status", value: total / spent, unit: "/s" },
    { name: "twin update to Device status in the API p50", value: quantile(ms, 0.5), unit: "ms" },
    { name: "twin update to Device status in the API p99", value: quantile(ms, 0.99), unit: "ms" },
  ];
}

/** Every value a shown one settles: itself and those sent before it. */
async function settle(
  events: AsyncIterable<{ readonly object: unknown }>,
  state: {
    readonly open: Map<string, { value: number; at: number }[]>;
    readonly ms: number[];
    readonly total: number;
  },
): Promise<void> {
  for await (const event of events) {
    const { metadata, status } = event.object as Device;
    const shown = temperatureOf(status);
    const waiting = state.open.get(metadata.name ?? "") ?? [];
    while (waiting[0] !== undefined && waiting[0].value <= shown)
      state.ms.push(performance.now() - (waiting.shift()?.at ?? 0));
    if (state.ms.length >= state.total) return;
  }
}

function temperatureOf(status: Device["status"]): number {
  const twin = status?.twins?.find(({ propertyName }) => propertyName === "temperature");
  return Number(twin?.reported?.value);
}

function twinUpdate(event_id: string, value: number): string {
  const twin = { temperature: { actual: { value: String(value) }, metadata: { type: "float" } } };
  return JSON.stringify({ event_id, timestamp: Date.now(), twin });
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
    sentAt.set(event_id, performance.now());
    const topic = `$hw/events/device/d${(sent % devices) + 1}/twin/update`;
    client.publish(topic, twinUpdate(event_id, sent), { qos: 1 });
    sent += 1;
  };
  const take = (_: string, payload: Buffer): void => {
    const { event_id } = JSON.parse(payload.toString()) as { event_id: string };
    ms.push(performance.now() - (sentAt.get(event_id) ?? 0));
    sentAt.delete(event_id);
    if (ms.length === total) done.resolve();
    if (sent < total) send();
  };
  client.on("message", take);
  const start = performance.now();
  while (sent < Math.min(most, total)) send();
  await done.promise;
  client.off("message", take);
  return { ms, perSecond: Math.round(total / ((performance.now() - start) / 1000)) };
}

/** Resident memory of a process, in MiB. */
export function residentMb(pid: number): number {
  const kb = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Math.round(Number(kb ?? 0) / 102.4) / 10;
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return Math.round((sorted[Math.floor(q * (sorted.length - 1))] ?? 0) * 100) / 100;
}
