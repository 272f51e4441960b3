export { LogPump } from "./pump.ts";
export { LineSplitter, LogWriter } from "./writer.ts";
