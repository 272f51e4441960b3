import { Cron } from "croner";
import { parseFields, type CronField } from "./fields.ts";

/** When something is due, in milliseconds since 1970. */
export interface Schedule {
  /** The first time after `afterMs`; undefined when there is none. */
  next(afterMs: number): number | undefined;
  /** The last time after `afterMs` and not after `untilMs`; undefined when there is none. */
  latest(afterMs: number, untilMs: number): number | undefined;
}

const descriptors: Readonly<Record<string, string>> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *",
};
const everyPrefix = "@every ";
/** Characters of a schedule; all values of all fields take 500. What is longer takes long to read. */
export const longestSchedule = 4096;

/**
 * Reads a schedule of five fields, a descriptor such as `@hourly`, or `@every <duration>`; as robfig/cron's ParseStandard.
 * A text says what is wrong. @param timeZone a name that `timeZoneFault` accepts; that of this machine without one
 */
export function parseSchedule(text: string, timeZone?: string): Schedule | string {
  if (text.length > longestSchedule) return `must have at most ${longestSchedule} characters`;
  if (text.trim() === "") return "empty spec string";
  if (text.startsWith(everyPrefix)) return parseEvery(text);
  const expanded = text.startsWith("@") ? descriptors[text] : text;
  if (expanded === undefined) return `unrecognized descriptor: ${text}`;
  const fields = parseFields(expanded);
  return typeof fields === "string" ? fields : calendarSchedule(fields, timeZone);
}

/** What is wrong with the name of a time zone, as Go's time.LoadLocation says it. */
export function timeZoneFault(name: string): string | undefined {
  const fault = `unknown time zone ${name}`;
  // Offsets such as "+01:00" are no names of time zones.
  if (!/^[A-Za-z]/.test(name)) return fault;
  try {
    Intl.DateTimeFormat("en", { timeZone: name });
    return undefined;
  } catch {
    return fault;
  }
}

function calendarSchedule(fields: readonly CronField[], timeZone: string | undefined): Schedule {
  const pattern = fields.map(({ values, isStar }) => (isStar ? "*" : [...values].sort(byNumber).join(",")));
  const zone = timeZone === undefined ? {} : { timezone: timeZone };
  const cron = new Cron(pattern.join(" "), { ...zone, mode: "5-part", paused: true });
  return {
    next: (afterMs) => cron.nextRun(new Date(afterMs))?.getTime(),
    latest: (afterMs, untilMs) => {
      // The library looks for times before the given one, in whole seconds.
      const before = new Date(Math.floor(untilMs / 1000) * 1000 + 1000);
      const found = cron.previousRuns(1, before)[0]?.getTime();
      return found !== undefined && found > afterMs ? found : undefined;
    },
  };
}

function byNumber(a: number, b: number): number {
  return a - b;
}

function parseEvery(text: string): Schedule | string {
  const duration = parseDuration(text.slice(everyPrefix.length));
  if (duration === undefined)
    return `failed to parse duration ${text}: time: invalid duration ${JSON.stringify(text.slice(everyPrefix.length))}`;
  const everyMs = Math.max(1000, Math.floor(duration / 1000) * 1000);
  return {
    next: (afterMs) => Math.floor(afterMs / 1000) * 1000 + everyMs,
    latest: (afterMs, untilMs) => {
      const start = Math.floor(afterMs / 1000) * 1000;
      const count = Math.floor((untilMs - start) / everyMs);
      return count > 0 ? start + count * everyMs : undefined;
    },
  };
}

const unitsMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds of a duration as Go writes it, such as `1h30m`. */
function parseDuration(text: string): number | undefined {
  if (!/^(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  const parts = [...text.matchAll(/(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)/g)];
  const total = parts.reduce((sum, [, value, unit]) => sum + Number(value) * (unitsMs[unit ?? ""] ?? 0), 0);
  return Number.isSafeInteger(Math.round(total)) ? total : undefined;
}
