export { keepSocket, type SocketParts } from "./keep-socket.ts";
