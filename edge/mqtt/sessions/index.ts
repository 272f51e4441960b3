export type { SessionCounts, SessionLimits, StoredPublication, StoreOptions } from "./session-parts.ts";
export { sessionMarker, subscriptionWeight } from "./session-subscriptions.ts";
export { Sessions } from "./sessions.ts";
export { joinTarget, targetOf, type SessionTarget } from "./subscription-index.ts";
