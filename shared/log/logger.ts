import { describeError } from "#shared/errors";
import type { Clock } from "#shared/clock";

export const logLevels = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof logLevels)[number];
export type LogFields = Readonly<Record<string, unknown>>;

/**
 * A log line is a constant sentence and fields. `error` means that somebody must act.
 * Secrets, tokens and keys are never passed here.
 */
export interface Logger {
  debug(sentence: string, fields?: LogFields): void;
  info(sentence: string, fields?: LogFields): void;
  warn(sentence: string, fields?: LogFields): void;
  error(sentence: string, fields?: LogFields): void;
  /** A logger that adds `fields` to each line, e.g. `{ module: "edged" }`. */
  child(fields: LogFields): Logger;
  /** Changes the level of this logger and all its children (SIGHUP). */
  setLevel(level: LogLevel): void;
}

interface Sink {
  level: LogLevel;
  readonly write: (line: string) => void;
  readonly clock: Pick<Clock, "nowMs">;
  readonly readable: boolean;
}

export interface LoggerOptions {
  readonly level: LogLevel;
  readonly clock: Pick<Clock, "nowMs">;
  /** Receives a line with its newline. */
  readonly write: (line: string) => void;
  /** Readable lines for a terminal instead of one JSON object a line. */
  readonly readable: boolean;
}

/** The root logger of a process. */
export function createLogger(options: LoggerOptions): Logger {
  return makeLogger({ ...options }, {});
}

function makeLogger(sink: Sink, base: LogFields): Logger {
  const logAt = (level: LogLevel) => (sentence: string, fields?: LogFields) => {
    if (logLevels.indexOf(level) < logLevels.indexOf(sink.level)) return;
    sink.write(formatLine(sink, level, sentence, { ...base, ...fields }));
  };
  return {
    debug: logAt("debug"),
    info: logAt("info"),
    warn: logAt("warn"),
    error: logAt("error"),
    child: (fields) => makeLogger(sink, { ...base, ...fields }),
    setLevel: (level) => {
      sink.level = level;
    },
  };
}

function formatLine(sink: Sink, level: LogLevel, sentence: string, fields: LogFields): string {
  const time = new Date(sink.clock.nowMs()).toISOString();
  const plain = Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [
      key,
      value instanceof Error ? describeError(value) : value,
    ]),
  );
  if (!sink.readable) return `${JSON.stringify({ time, level, msg: sentence, ...plain })}\n`;
  const tail = Object.entries(plain)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(" ");
  return `${time.slice(11, 23)} ${level.toUpperCase().padEnd(5)} ${sentence}${tail === "" ? "" : `  ${tail}`}\n`;
}
