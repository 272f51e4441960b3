export { GroupCommit, type CommitReply } from "./group-commit.ts";
export { deviceMessage, type DeviceMessage } from "./device-message.ts";
export { OutboxBudget } from "./outbox-budget.ts";
