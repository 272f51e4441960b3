/** Where requests arrive: the TLS port, and Unix sockets behind it. */
export type { ListenConfig } from "./listener.ts";
export { openPorts, type Ports } from "./ports.ts";
export type { HttpHandler, Served } from "./served.ts";
