/** Calls of webhooks over HTTPS: where they are, and a bounded answer in bounded time. */
export { hookedAt, post, type Hooked } from "./call.ts";
