export { newInbox, type Inbox } from "./inboxes.ts";
export { clientIdOf, sessionName } from "./session-name.ts";
export { weightOf } from "./subscription-weight.ts";
export { sessionMarker, Sessions, type SessionCounts, type SessionLimits, type Stored } from "./sessions.ts";
