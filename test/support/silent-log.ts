import { createLogger, type Logger } from "#shared/log";

/** A logger that keeps its lines (JSON) instead of printing them. */
export function silentLog(): Logger & { readonly lines: string[] } {
  const lines: string[] = [];
  const logger = createLogger({
    level: "debug",
    clock: { nowMs: () => 0 },
    readable: false,
    write: (line) => lines.push(line),
  });
  return Object.assign(logger, { lines });
}
