import { readFileSync } from "node:fs";

interface Cost {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

/**
 * Memory of a process: resident as `ps` shows it; proportional, where pages shared with others count in part; anonymous, which
 * the kernel can take back by swapping only; and of files, mostly pages of the executable that the kernel drops when memory
 * runs short.
 */
export function memoryOf(pid: number, name: string): Cost[] {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const figure = (what: string, text: string, field: string): Cost => ({
    name: `${name}, ${what}`,
    value: kilobytes(text, field) / 1024,
    unit: "MiB",
  });
  return [
    figure("resident", status, "VmRSS"),
    figure("proportional", rollup, "Pss"),
    figure("anonymous", status, "RssAnon"),
    figure("of files", status, "RssFile"),
  ];
}

function kilobytes(text: string, field: string): number {
  const found = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)?.[1];
  if (found === undefined) throw new Error(`no ${field} in:\n${text}`);
  return Number(found);
}

/** What a process spent until now. */
export interface Spent {
  readonly cpuSeconds: number;
  /** Handed to the disk, as the kernel counts when a page becomes dirty. */
  readonly writtenBytes: number;
}

export function spentBy(pid: number): Spent {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name of the program may have spaces.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticksPerSecond = 100;
  const io = readFileSync(`/proc/${pid}/io`, "utf8");
  return {
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
    writtenBytes: Number(/^write_bytes: (\d+)/m.exec(io)?.[1]),
  };
}

/** What it spends from now on for a time. */
export async function spending(pid: number, name: string, seconds: number): Promise<Cost[]> {
  const before = spentBy(pid);
  const started = performance.now();
  await Bun.sleep(seconds * 1000);
  const elapsed = (performance.now() - started) / 1000;
  const after = spentBy(pid);
  const written = (after.writtenBytes - before.writtenBytes) / 1e6;
  return [
    {
      name: `${name}, processor`,
      value: ((after.cpuSeconds - before.cpuSeconds) / elapsed) * 100,
      unit: "%",
    },
    { name: `${name}, written to disk`, value: (written / elapsed) * 3600, unit: "MB/h" },
  ];
}
