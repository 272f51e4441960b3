export {
  AppError,
  BugError,
  ClosedError,
  ConfigError,
  ConflictError,
  ProtocolError,
  UnavailableError,
  asError,
  describeError,
  errorCodeOf,
} from "./errors.ts";
export { quote } from "./text.ts";
export { nearest } from "./nearest.ts";
