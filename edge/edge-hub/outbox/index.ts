/** Sends what waits in the store's outbox until the cloud has answered it. */
export { OutboxShares } from "./shares.ts";
