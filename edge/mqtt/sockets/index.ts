export { listenForMqtt, type Accept, type Listeners, type SocketPeer } from "./listeners.ts";
