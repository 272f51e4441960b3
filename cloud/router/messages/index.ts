/** What nodes send to rules, and how messages that wait are delivered. */
export { Attempts } from "./attempts.ts";
export { NodeMessages } from "./node-messages.ts";
