export { newInbox, type Inbox } from "./inboxes.ts";
export { clientIdOf, sessionName } from "./session-name.ts";
export { sessionMarker, subscriptionWeight } from "./session-subscriptions.ts";
export { Sessions, type SessionCounts, type SessionLimits, type StoredPublication } from "./sessions.ts";
