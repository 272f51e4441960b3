export {
  AppError,
  BugError,
  ClosedError,
  ConfigError,
  ProtocolError,
  UnavailableError,
  asError,
  describeError,
  errorCodeOf,
} from "./errors.ts";
export { quote } from "./text.ts";
export { nearest } from "./nearest.ts";
