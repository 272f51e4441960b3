/** Where requests arrive: the TLS port, and Unix sockets behind it. */
export { CertificateTimes } from "./certificate-times.ts";
export { listen, serveOnSocket, type ListenConfig } from "./listener.ts";
export { PeerServers } from "./peer-servers.ts";
export type { HttpHandler, Served } from "./served.ts";
