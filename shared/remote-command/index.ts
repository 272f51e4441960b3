/** The protocols of logs, exec, attach and port-forward: the server's side, on WebSockets and on SPDY/3.1. */
export {
  forwardProtocolOf,
  logProtocolOf,
  processProtocolOf,
  type AcceptForward,
  type AcceptLog,
  type AcceptProcess,
  type NoProtocol,
} from "./negotiate.ts";
export { passConnection, type ConnectPort } from "./port-client.ts";
export type { ProcessClient, ProcessStreams } from "./process-client.ts";
export { runProcess, type NodeEnd } from "./run-process.ts";
