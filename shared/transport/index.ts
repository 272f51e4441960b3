export type { FrameTransport, TransportClosed, TransportListener } from "./frame-transport.ts";
export { WebSocketTransport } from "./web-socket-transport.ts";
