/** Admission webhooks: which of them a write is for, what is asked and what the answers mean. */
export { admitConnection } from "./connect.ts";
export { Webhooks, type WebhookParts } from "./webhooks.ts";
