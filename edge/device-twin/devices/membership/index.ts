export { AttributeUpdates } from "./attribute-updates.ts";
export { Members } from "./members.ts";
export { Membership } from "./membership.ts";
