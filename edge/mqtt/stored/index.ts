export { BrokerClock } from "./broker-clock.ts";
export { Deadlines } from "./deadlines.ts";
export { Inboxes, newInbox, type Inbox } from "./inboxes.ts";
export { Journal, packetFromRow, willFromRow } from "./journal.ts";
export { Lifetimes } from "./lifetimes.ts";
export { Retained } from "./retained.ts";
export { clientIdOf, hasUser, sessionName } from "./session-name.ts";
export { Wills } from "./wills.ts";
