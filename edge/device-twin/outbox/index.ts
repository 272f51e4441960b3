export { Batch, type Answer } from "./batch.ts";
export { deviceMessage, type DeviceMessage } from "./device-message.ts";
export { OutboxBudget } from "./outbox-budget.ts";
