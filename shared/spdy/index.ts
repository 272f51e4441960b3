/** SPDY/3.1 as Kubernetes uses it for exec, attach and port-forward. */
export type { SpdyHeaders } from "./header-blocks.ts";
export { SpdySession, type SpdyConnection, type SpdySessionOptions } from "./session.ts";
export type { SpdyStream } from "./stream.ts";
