import { readFileSync } from "node:fs";
import { connectAsync } from "mqtt";
import type { Device } from "#shared/kube";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { watchOf } from "./api.ts";
import { quantile, type DeviceFigure } from "./devices.ts";
import { devicesPath, startPair, type Pair } from "./pair.ts";

const settleMs = 10_000;

/** Bytes that cloudcore and edgecore write to the disk in an hour while nothing happens, from two minutes of it. */
export async function benchFlashIdle(): Promise<DeviceFigure[]> {
  return flash("idle", { devices: 1, reportsPerSecond: 0 });
}

/** The same with one device that reports once a second, without an answer (QoS 0). */
export async function benchFlashOneDevice(): Promise<DeviceFigure[]> {
  return flash("1 device at 1/s", { devices: 1, reportsPerSecond: 1 });
}

/** The same with 200 devices. */
export async function benchFlash200Devices(): Promise<DeviceFigure[]> {
  return flash("200 devices at 1/s", { devices: 200, reportsPerSecond: 200 });
}

/** One device whose reports are answered when they are on disk (QoS 1). */
export async function benchFlashDurable(): Promise<DeviceFigure[]> {
  return flash("1 device at 1/s, QoS 1", { devices: 1, reportsPerSecond: 1, qos: 1 });
}

/** 2,000 reports a second of 2,000 devices: how old the value is that the API shows of each. `BENCH_MINUTES` for a longer run. */
export async function benchStatusAge(
  minutes = Number(process.env["BENCH_MINUTES"] ?? 2),
): Promise<DeviceFigure[]> {
  using dir = tempDir("bench");
  await using pair = await startPair(dir.path, 2000);
  const shown = new Map<string, number>();
  const late: number[] = [];
  void follow(watchOf(pair.cloud.kubeconfig, `${devicesPath}/devices`), shown).catch(() => undefined);
  const end = new AbortController();
  const sending = report(pair, { devices: 2000, reportsPerSecond: 2000, signal: end.signal });
  await Bun.sleep(settleMs);
  const before = written(pair);
  const started = performance.now();
  while (performance.now() - started < minutes * 60_000) {
    await Bun.sleep(250);
    const nowMs = Date.now();
    for (let at = 1; at <= 2000; at += 1) late.push(nowMs - (shown.get(`d${at}`) ?? 0));
    if (late.length > 4_000_000) late.splice(0, 2_000_000);
  }
  const after = written(pair);
  end.abort();
  const sent = await sending;
  const hours = (performance.now() - started) / 3_600_000;
  return [
    { name: "2,000 devices at 1/s: sent", value: sent.perSecond, unit: "/s" },
    { name: "2,000 devices at 1/s: age of a shown value p50", value: quantile(late, 0.5) / 1000, unit: "s" },
    { name: "2,000 devices at 1/s: age of a shown value p99", value: quantile(late, 0.99) / 1000, unit: "s" },
    { name: "2,000 devices at 1/s: age of a shown value, most", value: quantile(late, 1) / 1000, unit: "s" },
    ...perHour("2,000 devices at 1/s", { before, after, hours, reports: sent.perSecond * 3600 }),
  ];
}

interface Load {
  readonly devices: number;
  readonly reportsPerSecond: number;
  readonly qos?: 0 | 1;
}

async function flash(
  what: string,
  load: Load,
  minutes = Number(process.env["BENCH_MINUTES"] ?? 2),
): Promise<DeviceFigure[]> {
  using dir = tempDir("bench");
  await using pair = await startPair(dir.path, load.devices);
  const end = new AbortController();
  const sending = load.reportsPerSecond > 0 ? report(pair, { ...load, signal: end.signal }) : undefined;
  await Bun.sleep(settleMs);
  const before = written(pair);
  const started = performance.now();
  await Bun.sleep(minutes * 60_000);
  const after = written(pair);
  const hours = (performance.now() - started) / 3_600_000;
  end.abort();
  await sending;
  return perHour(what, { before, after, hours, reports: load.reportsPerSecond * 3600 });
}

interface Written {
  readonly edge: number;
  readonly cloud: number;
}

function perHour(
  what: string,
  measured: {
    readonly before: Written;
    readonly after: Written;
    readonly hours: number;
    readonly reports: number;
  },
): DeviceFigure[] {
  const { before, after, hours, reports } = measured;
  return (["edge", "cloud"] as const).flatMap((side) => {
    const bytes = (after[side] - before[side]) / hours;
    return [
      { name: `${what}: written by ${side}core`, value: bytes / 1e6, unit: "MB/h" },
      ...(reports > 0
        ? [{ name: `${what}: written by ${side}core for a report`, value: bytes / reports, unit: "B" }]
        : []),
    ];
  });
}

function written({ edge, cloud }: Pair): Written {
  return { edge: writtenBy(edge.pid), cloud: writtenBy(cloud.cloud.pid) };
}

/** What a process caused to be written to disks so far, as the kernel counts it: pages, also when few bytes of one changed. */
export function writtenBy(pid: number): number {
  return Number(/^write_bytes: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"))?.[1] ?? 0);
}

/** Sends reports evenly until it is aborted; the value is the time it was made. */
async function report(
  pair: Pair,
  load: Load & { readonly signal: AbortSignal },
): Promise<{ readonly perSecond: number }> {
  const client = await connectAsync(`mqtt://127.0.0.1:${pair.mqtt}`, { protocolVersion: 4 });
  const start = performance.now();
  let sent = 0;
  while (!load.signal.aborted) {
    const due = Math.floor(((performance.now() - start) / 1000) * load.reportsPerSecond);
    for (; sent < due; sent += 1) {
      const topic = `$hw/events/device/d${(sent % load.devices) + 1}/twin/update`;
      const twin = { temperature: { actual: { value: String(Date.now()) }, metadata: { type: "float" } } };
      client.publish(topic, JSON.stringify({ event_id: "", timestamp: Date.now(), twin }), {
        qos: load.qos ?? 0,
      });
    }
    await Bun.sleep(10);
  }
  const perSecond = sent / ((performance.now() - start) / 1000);
  await client.endAsync(true);
  return { perSecond };
}

async function follow(
  events: AsyncIterable<{ readonly object: unknown }>,
  shown: Map<string, number>,
): Promise<void> {
  for await (const { object } of events) {
    const { metadata, status } = object as Device;
    const twin = status?.twins?.find(({ propertyName }) => propertyName === "temperature");
    if (twin?.reported) shown.set(metadata.name ?? "", Number(twin.reported.value));
  }
}
