/** What a Device asks of the driver of its protocol. */
export { planDevice, type DevicePlan, type PlannedPoint, type PlanOutcome } from "./device-plan.ts";
