import { readFileSync } from "node:fs";

/** A process that is not mistaken for another one which later has its number: proc(5) counts its start from the boot. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Ticks from the boot to its start. */
  readonly startTicks: string;
  readonly bootId: string;
}

export function readBootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

/** `<pid> <ticks> <boot id>`, as the supervisor writes it; undefined for what is cut or missing. */
export function parseIdentity(text: string | undefined): ProcessIdentity | undefined {
  const [, pid, startTicks = "", bootId = ""] =
    /^(\d{1,10}) (\d{1,20}) ([0-9a-f-]{36})\n/.exec(text ?? "") ?? [];
  return pid === undefined ? undefined : { pid: Number(pid), startTicks, bootId };
}

/** Whether that very process runs; one that has ended and waits for its parent does not. */
export function isAlive({ pid, startTicks, bootId }: ProcessIdentity, thisBoot: string): boolean {
  if (bootId !== thisBoot) return false;
  const [state, start] = readStat(pid) ?? [];
  return start === startTicks && state !== "Z" && state !== "X";
}

/** @returns false when it has ended */
export function signalProcess(target: ProcessIdentity, signal: NodeJS.Signals, thisBoot: string): boolean {
  if (!isAlive(target, thisBoot)) return false;
  try {
    process.kill(target.pid, signal);
    return true;
  } catch {
    // It ended just now.
    return false;
  }
}

function readStat(pid: number): readonly [string, string] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    // Its name may hold anything, a parenthesis too.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return [fields[0] ?? "", fields[19] ?? ""];
  } catch {
    return undefined;
  }
}
