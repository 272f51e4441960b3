import type { Asked, CommandGrammar } from "#shared/cli";
import { ConfigError, quote } from "#shared/errors";
import type { LogOptions } from "#edge/runtime";

/** What `edgecore logs` asks for, in kubectl's words. */
export interface LogsAsked {
  readonly pod: string;
  readonly namespace: string;
  /** undefined: the pod's only one */
  readonly container: string | undefined;
  readonly previous: boolean;
  readonly limitBytes: number;
  readonly options: LogOptions;
}

/** Spelled as the flags of `kubectl logs`. */
export const logsGrammar: CommandGrammar = {
  flags: ["container", "namespace", "tail", "since", "since-time", "limit-bytes"],
  switches: ["follow", "previous", "timestamps"],
  short: new Map([
    ["-c", "container"],
    ["-n", "namespace"],
    ["-f", "follow"],
    ["-p", "previous"],
  ]),
};

/** @throws ConfigError when it cannot be meant */
export function readLogsAsked({ operands, flags }: Asked, nowMs: number): LogsAsked {
  return {
    ...readSubject(operands, flags),
    namespace: flags.get("namespace") ?? "default",
    previous: flags.has("previous"),
    limitBytes: readCount(flags, "limit-bytes") || Infinity,
    options: { follow: flags.has("follow"), timestamps: flags.has("timestamps"), ...readPart(flags, nowMs) },
  };
}

function readSubject(
  [pod, container, more]: Asked["operands"],
  flags: Asked["flags"],
): Pick<LogsAsked, "pod" | "container"> {
  if (pod === undefined || pod === "") throw usage("logs: expected the name of a pod");
  const unexpected = flags.has("container") ? container : more;
  if (unexpected !== undefined) throw usage(`logs: expected nothing more, got ${quote(unexpected)}`);
  return { pod: pod.replace(/^pods?\//, ""), container: container ?? flags.get("container") };
}

function readPart(flags: Asked["flags"], nowMs: number): Pick<LogOptions, "tailLines" | "sinceMs"> {
  const tailLines = flags.get("tail") === "-1" ? undefined : readCount(flags, "tail");
  const sinceMs = readSince(flags, nowMs);
  return { ...(tailLines !== undefined && { tailLines }), ...(sinceMs !== undefined && { sinceMs }) };
}

function readCount(flags: Asked["flags"], name: string): number | undefined {
  const text = flags.get(name);
  if (text === undefined) return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw usage(`--${name}: expected a whole number, got ${quote(text)}`);
}

function readSince(flags: Asked["flags"], nowMs: number): number | undefined {
  const [since, time] = [flags.get("since"), flags.get("since-time")];
  if (since !== undefined && time !== undefined)
    throw usage("logs: expected --since or --since-time, got both");
  if (since !== undefined) return Math.max(0, nowMs - durationMs(since));
  if (time === undefined) return undefined;
  const ms = Date.parse(time);
  if (Number.isNaN(ms))
    throw usage(`--since-time: expected a time such as 2026-01-31T12:00:00Z, got ${quote(time)}`);
  return Math.max(0, ms);
}

const unitMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000 };

/** As kubectl takes it: 90s, 5m, 1h30m. */
function durationMs(text: string): number {
  if (!/^(\d{1,9}[hms])+$/.test(text))
    throw usage(`--since: expected a duration such as 90s, 5m or 1h30m, got ${quote(text)}`);
  return [...text.matchAll(/(\d+)([hms])/g)].reduce(
    (total, [, count, unit = ""]) => total + Number(count) * (unitMs[unit] ?? 0),
    0,
  );
}

function usage(message: string): ConfigError {
  return new ConfigError("usage", message);
}
