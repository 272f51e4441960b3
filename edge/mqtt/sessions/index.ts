export { newInbox, type Inbox } from "./inboxes.ts";
export { clientIdOf, sessionName } from "./session-name.ts";
export { sessionMarker } from "./session-subscriptions.ts";
export { weightOf } from "./subscription-weight.ts";
export { Sessions, type SessionCounts, type SessionLimits, type StoredPublication } from "./sessions.ts";
