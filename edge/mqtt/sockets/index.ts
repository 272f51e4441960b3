export { listen, type Accept, type Listeners, type SocketPeer } from "./listeners.ts";
