export { listenForMqtt, type Listeners } from "./listeners.ts";
export type { SocketPeer } from "./peer.ts";
