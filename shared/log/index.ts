export { createLogger, type LogLevel, type Logger, type LogFields, logLevels } from "./logger.ts";
export { RateLimitedLog } from "./rate-limited-log.ts";
