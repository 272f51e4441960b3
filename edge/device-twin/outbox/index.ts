export { Batch, type Answer } from "./batch.ts";
export { deviceMessage, type DeviceMessage } from "./device-message.ts";
export { Budget } from "./outbox-budget.ts";
