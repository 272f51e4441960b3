/** HTTP servers some of whose requests become another protocol: a WebSocket, or bytes on the connection itself. */
export type { Connection } from "./connection.ts";
export type { UpgradeOffer } from "./offer.ts";
export {
  answerUpgrades,
  serveUpgrades,
  type ListenAddress,
  type UpgradeServer,
  type UpgradeServerOptions,
} from "./serve-upgrades.ts";
export { connectionOfSocket } from "./socket-connection.ts";
export { connectionOfTransport, sendFrame } from "./tunnel.ts";
