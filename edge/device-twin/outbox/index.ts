export { Batch, type Answer, type Outgoing } from "./batch.ts";
export { Budget } from "./outbox-budget.ts";
