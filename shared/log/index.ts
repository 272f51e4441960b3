export { createLogger, type LogLevel, type Logger, type LogFields, logLevels } from "./logger.ts";
export { Seldom } from "./seldom.ts";
