export { durabilityOf, type Durability } from "./durability.ts";
export { deviceMessage, type DeviceMessage } from "./device-message.ts";
export { GroupCommit, type CommitReply } from "./group-commit.ts";
export { OutboxBudget } from "./outbox-budget.ts";
export { isUpload } from "./uploads.ts";
export { ValueBuffer } from "./value-buffer.ts";
