export { headerOf } from "./head.ts";
/** Who may be connected at the same time, so that unauthenticated clients never use up what authenticated ones need. */
export { boundsOf, budgetOfProcess, ConnectionBudget, type BudgetOptions, type Place } from "./budget.ts";
export { openFilesLimit } from "./open-files.ts";
export { openEntrance, type Entrance } from "./entrance.ts";
export { openFront, type Front, type FrontOptions, type Guest, type ShownCertificate } from "./front.ts";
export { socketPath } from "./socket-path.ts";
export { listenSecurely, type SecureServer, type SecureServerOptions } from "./secure-server.ts";
