/** Calls of webhooks over HTTPS: where they are, and a bounded answer in bounded time. */
export { destinationOf, post, type Destination } from "./call.ts";
